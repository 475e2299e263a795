//! Devices by name, each behind the feature that compiles its backend in.

#[cfg(feature = "flex")]
use sclsd_model::OnBackend;
use sclsd_model::{Job, Kernels};

/// Where computations run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU, through Burn's `flex` backend: `cpu`.
    #[cfg(feature = "flex")]
    Cpu,
}

/// Why there is no such device.
#[derive(Debug, thiserror::Error)]
#[error("device \"{name}\" is not one of {known}")]
pub struct DeviceError {
    /// What was asked for.
    pub name: String,
    /// Devices that are compiled in.
    pub known: &'static str,
}

impl Device {
    /// The device of that name.
    ///
    /// # Errors
    /// [`DeviceError`] lists the devices that are compiled in.
    pub fn parse(name: &str) -> Result<Self, DeviceError> {
        match name {
            #[cfg(feature = "flex")]
            "cpu" => Ok(Self::Cpu),
            _ => Err(DeviceError { name: name.into(), known: KNOWN }),
        }
    }
}

#[cfg(feature = "flex")]
const KNOWN: &str = "the devices compiled in: cpu";
#[cfg(not(feature = "flex"))]
const KNOWN: &str = "the devices compiled in: none (build with the feature flex)";

impl sclsd_model::Device for Device {
    fn run<J: Job>(&self, job: J) -> J::Output {
        match *self {
            #[cfg(feature = "flex")]
            Self::Cpu => OnBackend::<burn::backend::Autodiff<burn::backend::Flex>>::default().run(job),
            #[cfg(not(feature = "flex"))]
            _ => unreachable!("no device can be parsed without a backend"),
        }
    }

    fn kernels(&self) -> Kernels {
        match *self {
            #[cfg(feature = "flex")]
            Self::Cpu => Kernels::Host,
            #[cfg(not(feature = "flex"))]
            _ => unreachable!("no device can be parsed without a backend"),
        }
    }
}
