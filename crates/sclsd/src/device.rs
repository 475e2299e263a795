//! Devices by name, each behind the feature that compiles its backend in.
//!
//! | name | runs on | feature |
//! | --- | --- | --- |
//! | `cpu` | the CPU, through Burn's `flex` backend | `flex` |
//! | `ndarray` | the CPU, through Burn's `ndarray` backend | `ndarray` |
//! | `cuda`, `cuda:1` | an NVIDIA GPU; without a number, the first one | `cuda` |
//! | `wgpu`, `wgpu:1` | a device of Vulkan, Metal or DirectX, GPUs before CPUs | `wgpu` |

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(feature = "wgpu")]
pub(crate) mod wgpu;

use std::fmt;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use std::marker::PhantomData;
use std::str::FromStr;

#[cfg(any(feature = "flex", feature = "ndarray", feature = "cuda", feature = "wgpu"))]
use burn::backend::Autodiff;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use sclsd_gpu::Cube;
#[cfg(any(feature = "flex", feature = "ndarray", feature = "cuda", feature = "wgpu"))]
use sclsd_model::OnBackend;
use sclsd_model::{Executor, Job, Kernels};

/// Where computations run. A device is parsed from its name; parsing fails if the device is not present:
///
/// ```
/// use sclsd::Device;
///
/// let device: Device = "cpu".parse()?;
/// assert_eq!(device.to_string(), "cpu");
/// # Ok::<(), sclsd::DeviceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU, through Burn's `flex` backend: `cpu`.
    #[cfg(feature = "flex")]
    Cpu,
    /// The CPU, through Burn's `ndarray` backend: `ndarray`.
    #[cfg(feature = "ndarray")]
    NdArray,
    /// An NVIDIA GPU: `cuda:0`.
    #[cfg(feature = "cuda")]
    Cuda(cuda::Gpu),
    /// A device of the system's graphics interface: `wgpu:0`.
    #[cfg(feature = "wgpu")]
    Wgpu(wgpu::Adapter),
}

/// Why a device is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The name is not the name of a device.
    #[error("device \"{name}\" is not one of cpu, ndarray, cuda, cuda:0, wgpu, wgpu:0")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The backend of the device is not compiled into this build.
    #[error(
        "device \"{name}\" needs the feature {feature}, which this build was made without (it has: {compiled}); build with --features {feature}"
    )]
    NotCompiled {
        /// The name that was asked for.
        name: String,
        /// The feature that compiles the backend in.
        feature: &'static str,
        /// The features that are compiled in.
        compiled: String,
    },
    /// This machine does not have the device.
    #[error("device \"{name}\" is not on this machine: {reason}")]
    Absent {
        /// The name that was asked for.
        name: String,
        /// What is missing.
        reason: String,
    },
}

/// Every feature, and whether this build has it.
const FEATURES: [(&str, bool); 4] = [
    ("flex", cfg!(feature = "flex")),
    ("ndarray", cfg!(feature = "ndarray")),
    ("cuda", cfg!(feature = "cuda")),
    ("wgpu", cfg!(feature = "wgpu")),
];

impl Device {
    /// Name of the default device: `cpu` if its backend is compiled in.
    pub const DEFAULT: &str = match FEATURES {
        [(_, false), (name, true), ..] | [(_, false), _, (name, true), _] | [(_, false), _, _, (name, true)] => name,
        _ => "cpu",
    };

    /// The backends that are compiled in, by the names of their features: `flex`, `ndarray`, `cuda`, `wgpu`.
    pub fn compiled() -> impl Iterator<Item = &'static str> {
        FEATURES.into_iter().filter(|(_, present)| *present).map(|(name, _)| name)
    }
}

/// The name that the device is parsed from, with its number if there is one: `cuda:0`.
impl fmt::Display for Device {
    #[cfg_attr(
        not(any(feature = "flex", feature = "ndarray", feature = "cuda", feature = "wgpu")),
        expect(unused_variables, reason = "there is nothing to name")
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            #[cfg(feature = "flex")]
            Self::Cpu => f.pad("cpu"),
            #[cfg(feature = "ndarray")]
            Self::NdArray => f.pad("ndarray"),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => f.pad(&format!("cuda:{}", gpu.number())),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(adapter) => f.pad(&format!("wgpu:{}", adapter.number())),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    /// The device with that name.
    ///
    /// # Errors
    /// [`DeviceError`] names the feature that is not compiled in, or what this machine lacks.
    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { name: name.into() };
        let (kind, number) = match name.split_once(':') {
            Some((kind @ ("cuda" | "wgpu"), number)) => (kind, number.parse().map_err(|_| unknown())?),
            Some(_) => return Err(unknown()),
            None => (name, 0_usize),
        };
        #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
        let _: usize = number;
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        let absent = |reason| DeviceError::Absent { name: name.into(), reason };
        match kind {
            #[cfg(feature = "flex")]
            "cpu" => Ok(Self::Cpu),
            #[cfg(feature = "ndarray")]
            "ndarray" => Ok(Self::NdArray),
            #[cfg(feature = "cuda")]
            "cuda" => cuda::Gpu::find(number).map(Self::Cuda).map_err(absent),
            #[cfg(feature = "wgpu")]
            "wgpu" => wgpu::Adapter::find(number).map(Self::Wgpu).map_err(absent),
            #[cfg(not(feature = "flex"))]
            "cpu" => Err(not_compiled(name, "flex")),
            #[cfg(not(feature = "ndarray"))]
            "ndarray" => Err(not_compiled(name, "ndarray")),
            #[cfg(not(feature = "cuda"))]
            "cuda" => Err(not_compiled(name, "cuda")),
            #[cfg(not(feature = "wgpu"))]
            "wgpu" => Err(not_compiled(name, "wgpu")),
            _ => Err(unknown()),
        }
    }
}

#[cfg(not(all(feature = "flex", feature = "ndarray", feature = "cuda", feature = "wgpu")))]
fn not_compiled(name: &str, feature: &'static str) -> DeviceError {
    let compiled: Vec<&str> = Device::compiled().collect();
    let compiled = if compiled.is_empty() { "none".into() } else { compiled.join(", ") };
    DeviceError::NotCompiled { name: name.into(), feature, compiled }
}

impl Executor for Device {
    #[cfg_attr(
        not(any(feature = "flex", feature = "ndarray", feature = "cuda", feature = "wgpu")),
        expect(unused_variables, reason = "there is nothing to run on")
    )]
    fn run<J: Job>(&self, job: J) -> J::Output {
        match *self {
            #[cfg(feature = "flex")]
            Self::Cpu => OnBackend::<Autodiff<burn::backend::Flex>>::default().run(job),
            #[cfg(feature = "ndarray")]
            Self::NdArray => OnBackend::<Autodiff<burn::backend::NdArray>>::default().run(job),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => OnBackend::<Autodiff<burn::backend::Cuda>>(gpu.device()).run(job),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(adapter) => OnBackend::<Autodiff<burn::backend::Wgpu>>(adapter.device()).run(job),
        }
    }

    fn kernels(&self) -> Kernels {
        match *self {
            #[cfg(feature = "flex")]
            Self::Cpu => Kernels::Host,
            #[cfg(feature = "ndarray")]
            Self::NdArray => Kernels::Host,
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => Kernels::Device(Cube::of(PhantomData::<burn::backend::Cuda>)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(_) => Kernels::Device(Cube::of(PhantomData::<burn::backend::Wgpu>)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_nobody_has_is_refused_with_those_that_there_are() {
        for name in ["tpu", "cpu:0", "cuda:", "cuda:x", "wgpu:-1", ""] {
            let error = name.parse::<Device>().unwrap_err().to_string();
            assert_eq!(error, format!("device \"{name}\" is not one of cpu, ndarray, cuda, cuda:0, wgpu, wgpu:0"));
        }
    }

    #[test]
    fn a_device_is_there_or_the_feature_is_named_or_what_the_machine_lacks() {
        for (name, (feature, compiled)) in ["cpu", "ndarray", "cuda:0", "wgpu:0"].into_iter().zip(FEATURES) {
            match name.parse::<Device>() {
                Ok(device) => {
                    assert!(compiled, "{name}");
                    assert_eq!(device.to_string(), name);
                }
                Err(DeviceError::NotCompiled { feature: named, .. }) => assert!(!compiled && named == feature),
                Err(DeviceError::Absent { .. }) => assert!(compiled && ["cuda", "wgpu"].contains(&feature), "{name}"),
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }

    #[test]
    fn the_backends_of_this_build_are_listed() {
        let expected: Vec<&str> = FEATURES.iter().filter(|feature| feature.1).map(|feature| feature.0).collect();
        assert_eq!(Device::compiled().collect::<Vec<_>>(), expected);
    }

    #[test]
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    fn a_number_beyond_the_devices_of_this_machine_is_refused() {
        for name in [("cuda:99", cfg!(feature = "cuda")), ("wgpu:99", cfg!(feature = "wgpu"))] {
            if name.1 {
                let error = name.0.parse::<Device>().unwrap_err().to_string();
                assert!(error.contains("is not on this machine"), "{error}");
            }
        }
    }
}
