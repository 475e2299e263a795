//! The instruction set of the kernels: the best that the CPU has, or a lower level, to measure what an older CPU would
//! do.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use pulp::Arch;
use sclsd_spec::Choice;

/// A SIMD instruction set. Every level includes the lower levels of the same CPU architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SimdLevel {
    /// No SIMD: one number at a time.
    Scalar,
    /// Four `f32` lanes: `aarch64`.
    Neon,
    /// Eight `f32` lanes: `x86_64` CPUs of the last ten years.
    Avx2,
    /// Sixteen `f32` lanes.
    Avx512,
    /// AVX-512, and AMX tiles for bf16 products.
    Amx,
}

impl Choice for SimdLevel {
    const WHAT: &'static str = "SIMD level";
    const ALL: &'static [Self] = &[Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512, Self::Amx];

    fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why kernels cannot use a SIMD level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimdLevelError {
    /// The level does not exist, or this CPU does not have it.
    #[error("SIMD level \"{asked}\" is not one of this machine's: {there}")]
    Absent {
        /// The level that was asked for.
        asked: String,
        /// The levels that this CPU has.
        there: String,
    },
    /// Kernels have already run with another level.
    #[error("kernels run with SIMD level {used} already; choose one before any of them has run")]
    Begun {
        /// The level that kernels use.
        used: SimdLevel,
    },
}

impl FromStr for SimdLevel {
    type Err = SimdLevelError;

    fn from_str(name: &str) -> Result<Self, SimdLevelError> {
        Self::named(name).map_err(|_| error(name))
    }
}

fn error(asked: &str) -> SimdLevelError {
    let there: Vec<String> = SimdLevel::all().iter().map(ToString::to_string).collect();
    SimdLevelError::Absent { asked: asked.to_owned(), there: there.join(", ") }
}

static USED: OnceLock<(SimdLevel, Arch)> = OnceLock::new();

impl SimdLevel {
    /// All levels that this CPU has, the best last.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|level| level.arch().is_some()).collect()
    }

    /// The level that kernels use.
    #[must_use]
    pub fn used() -> Self {
        used().0
    }

    /// Makes kernels use this level. Call it before any kernel has run.
    ///
    /// # Errors
    /// [`SimdLevelError`] if this CPU does not have the level, or if kernels have already run with another level.
    pub fn force(self) -> Result<(), SimdLevelError> {
        let arch = self.arch().ok_or_else(|| error(&self.to_string()))?;
        let used = USED.get_or_init(|| (self, arch)).0;
        if used == self { Ok(()) } else { Err(SimdLevelError::Begun { used }) }
    }

    #[cfg(target_arch = "x86_64")]
    fn arch(self) -> Option<Arch> {
        match self {
            Self::Scalar => Some(Arch::Scalar),
            Self::Neon => None,
            Self::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            Self::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
            Self::Amx => pulp::x86::V4::try_new().filter(|_| crate::amx::present()).map(Arch::V4),
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn arch(self) -> Option<Arch> {
        match self {
            Self::Scalar => Some(Arch::Scalar),
            Self::Neon => pulp::aarch64::Neon::try_new().map(Arch::Neon),
            _ => None,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn arch(self) -> Option<Arch> {
        (self == Self::Scalar).then(Arch::new)
    }
}

fn used() -> (SimdLevel, Arch) {
    *USED.get_or_init(|| {
        let level = SimdLevel::all().last().copied().unwrap_or(SimdLevel::Scalar);
        (level, level.arch().unwrap_or_default())
    })
}

/// The SIMD width that loops are dispatched to.
pub(crate) fn arch() -> Arch {
    used().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_does_not_have_is_refused_with_what_it_has() {
        let message = "avx9".parse::<SimdLevel>().unwrap_err().to_string();
        assert!(message.starts_with("SIMD level \"avx9\" is not one of this machine's: scalar"), "{message}");
        let lacking = if cfg!(target_arch = "x86_64") { SimdLevel::Neon } else { SimdLevel::Amx };
        assert!(lacking.force().is_err());
        assert_eq!(SimdLevel::all().last(), Some(&SimdLevel::used()), "unless told otherwise, the best");
    }
}
