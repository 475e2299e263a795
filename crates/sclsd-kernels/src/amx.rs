//! Whether there are AMX tiles, and they may be used.

use std::sync::OnceLock;

/// Whether there are AMX tiles, and they may be used.
pub(crate) fn present() -> bool {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    *PRESENT.get_or_init(|| {
        let vectors = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16");
        vectors && has_amx() && may_use_them()
    })
}

fn has_amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    /// AMX-BF16 and AMX-TILE, in EDX of leaf 7.
    const AMX: u32 = 1 << 22 | 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & AMX == AMX
}

/// Asks the system, which reserves memory for the tile registers from then on.
#[cfg(target_os = "linux")]
fn may_use_them() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: takes two numbers, and says no where it does not know them
    #[expect(unsafe_code, reason = "a system call")]
    unsafe {
        libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
    }
}

#[cfg(not(target_os = "linux"))]
fn may_use_them() -> bool {
    false
}
