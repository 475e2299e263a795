//! The inner loops of products on AMX tiles, in assembly.

use std::arch::asm;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::tile::{GROUP, SIDE, Tile};
use crate::amx::present;
use crate::products::Terms;

/// The configuration of the tile registers: eight tiles of 16 rows of 64 bytes.
#[repr(align(64))]
struct Configuration(#[expect(dead_code, reason = "read by ldtilecfg")] [u8; 64]);

static CONFIGURATION: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1; // the palette
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64; // bytes per row
        bytes[48 + tile] = 16; // rows
        tile += 1;
    }
    Configuration(bytes)
};

/// The tile registers of this CPU, configured until this value is dropped.
pub(super) struct AmxTiles {
    /// Makes the type `!Send`: the tile configuration belongs to the thread that loaded it.
    of_this_thread: PhantomData<*const ()>,
}

impl AmxTiles {
    /// Configures the tile registers.
    ///
    /// # Panics
    /// If AMX tiles are not available.
    pub(super) fn set_up() -> Self {
        assert!(present(), "AMX tiles");
        // SAFETY: AMX tiles are available, and they have eight tile registers
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly, preserves_flags));
        }
        Self { of_this_thread: PhantomData }
    }
}

impl Drop for AmxTiles {
    fn drop(&mut self) {
        // SAFETY: no code relies on the contents of the tiles
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Groups of both factors, laid out as the assembly reads them.
#[repr(C)]
pub(super) struct Factors<'a> {
    a: *const Tile,
    b: *const Tile,
    steps: usize,
    of: PhantomData<&'a [Tile]>,
}

impl<'a> Factors<'a> {
    /// Inlined into the loop that calls it: if the value were returned through memory, reading it back would wait for
    /// all pending stores of sums.
    #[inline(always)]
    pub(super) fn new(a: &'a [Tile], b: &'a [Tile], steps: usize) -> Self {
        assert!(a.len() == b.len() && !a.is_empty(), "as many steps, and not none");
        Self { a: a.as_ptr(), b: b.as_ptr(), steps, of: PhantomData }
    }
}

/// Computes 32 × 32 sums over pairs of groups, on tile registers that are configured.
pub(super) fn sums(_: &AmxTiles, out: &mut [f32], stride: usize, factors: &[Factors<'_>], terms: Terms, add: bool) {
    assert!(out.len() >= (GROUP - 1) * stride + GROUP && !factors.is_empty(), "room for 32 × 32 sums");
    let mut idle = MaybeUninit::<Tile>::uninit();
    let places = Places {
        upper: out.as_mut_ptr(),
        lower: out[SIDE * stride..].as_mut_ptr(),
        stride: stride * size_of::<f32>(),
        idle: idle.as_mut_ptr(),
    };
    // SAFETY: the tiles are configured; `out` is large enough, and the groups have as many steps and terms as declared
    unsafe {
        match terms {
            Terms::Three => three_terms(&places, factors, add),
            Terms::Two => two_terms(&places, factors, add),
        }
    }
}

/// Destinations of the sums.
struct Places {
    /// The first 16 rows, and the last 16 rows.
    upper: *mut f32,
    lower: *mut f32,
    /// Bytes between rows.
    stride: usize,
    /// Target of a tile store at every step that is never read. Without regular stores, a store after a long series of
    /// products takes as long as two steps.
    idle: *mut Tile,
}

/// Loads one term of a factor: its first and its second 16 rows or columns.
macro_rules! load {
    (a, $first:literal, $second:literal) => {
        concat!("tileloadd tmm4, [{a} + {row} + ", $first, "]\ntileloadd tmm5, [{a} + {row} + ", $second, "]")
    };
    (b, $first:literal, $second:literal) => {
        concat!("tileloadd tmm6, [{b} + {row} + ", $first, "]\ntileloadd tmm7, [{b} + {row} + ", $second, "]")
    };
}

/// Multiplies and accumulates the loaded terms.
macro_rules! multiply {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\ntdpbf16ps tmm2, tmm5, tmm6\ntdpbf16ps tmm3, tmm5, tmm7"
    };
}

/// Defines a function that computes 32 × 32 sums of products, from the instructions of a step and the bytes that each
/// factor has for a step.
macro_rules! loop_of {
    ($name:ident, $bytes:literal, $($step:expr),*) => {
        unsafe fn $name(to: &Places, factors: &[Factors<'_>], add: bool) {
            // SAFETY: guaranteed by the caller
            unsafe {
                asm!(
                    "test {add:e}, {add:e}",
                    "jz 3f",
                    "tileloadd tmm0, [{upper} + {stride}]",
                    "tileloadd tmm1, [{upper} + {stride} + 64]",
                    "tileloadd tmm2, [{lower} + {stride}]",
                    "tileloadd tmm3, [{lower} + {stride} + 64]",
                    "jmp 4f",
                    "3:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "4:",
                    "mov {a}, [{factors}]",
                    "mov {b}, [{factors} + 8]",
                    "mov {steps}, [{factors} + 16]",
                    "add {factors}, 24",
                    "2:",
                    $($step,)*
                    "tilestored [{idle} + {row}], tmm7",
                    concat!("add {a}, ", $bytes),
                    concat!("add {b}, ", $bytes),
                    "dec {steps}",
                    "jnz 2b",
                    "dec {pairs}",
                    "jnz 4b",
                    "tilestored [{upper} + {stride}], tmm0",
                    "tilestored [{upper} + {stride} + 64], tmm1",
                    "tilestored [{lower} + {stride}], tmm2",
                    "tilestored [{lower} + {stride} + 64], tmm3",
                    add = in(reg) u32::from(add),
                    upper = in(reg) to.upper,
                    lower = in(reg) to.lower,
                    stride = in(reg) to.stride,
                    idle = in(reg) to.idle,
                    row = in(reg) 64_usize,
                    a = out(reg) _,
                    b = out(reg) _,
                    steps = out(reg) _,
                    factors = inout(reg) factors.as_ptr() => _,
                    pairs = inout(reg) factors.len() => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

loop_of!(
    three_terms,
    6144,
    // a₁ b₃, a₁ b₂
    load!(a, 0, 3072),
    load!(b, 2048, 5120),
    multiply!(),
    load!(b, 1024, 4096),
    multiply!(),
    // a₂ b₂, a₂ b₁
    load!(a, 1024, 4096),
    multiply!(),
    load!(b, 0, 3072),
    multiply!(),
    // a₃ b₁, a₁ b₁
    load!(a, 2048, 5120),
    multiply!(),
    load!(a, 0, 3072),
    multiply!()
);

loop_of!(
    two_terms,
    4096,
    // a₁ b₂, a₁ b₁, a₂ b₁
    load!(a, 0, 2048),
    load!(b, 1024, 3072),
    multiply!(),
    load!(b, 0, 2048),
    multiply!(),
    load!(a, 1024, 3072),
    multiply!()
);
