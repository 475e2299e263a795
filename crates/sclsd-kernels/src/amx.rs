//! Whether this machine has AMX tiles that this process may use.

use std::sync::OnceLock;

/// Whether the CPU has AMX tiles and the operating system lets this process use them.
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

/// Requests the permission from the operating system, which from then on reserves memory for the tile registers.
#[cfg(target_os = "linux")]
fn may_use_them() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers, and returns an error if the kernel does not know them
    #[expect(unsafe_code, reason = "a system call")]
    unsafe {
        libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
    }
}

#[cfg(not(target_os = "linux"))]
fn may_use_them() -> bool {
    false
}
