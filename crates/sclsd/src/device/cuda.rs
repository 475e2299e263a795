//! NVIDIA GPUs. The driver is loaded at run time. Burn panics if the driver is missing, so this module checks first.

use burn::backend::cuda::CudaDevice;
use cudarc::{driver, nvrtc};

/// An NVIDIA GPU that is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gpu(usize);

impl Gpu {
    /// The GPU with that number, or what is missing.
    pub(super) fn find(number: usize) -> Result<Self, String> {
        // SAFETY: both calls only try to load a library, and report whether that worked.
        #[expect(unsafe_code, reason = "cudarc offers no other way to ask")]
        let (has_driver, has_compiler) = unsafe { (driver::sys::is_culib_present(), nvrtc::sys::is_culib_present()) };
        if !has_driver {
            return Err("no NVIDIA driver is installed (libcuda)".into());
        }
        if !has_compiler {
            return Err("the CUDA toolkit's run-time compiler is not installed (libnvrtc)".into());
        }
        let count = driver::result::init().and_then(|()| driver::result::device::get_count());
        match usize::try_from(count.map_err(|error| format!("the NVIDIA driver refuses: {error}"))?) {
            Ok(count) if number < count => Ok(Self(number)),
            Ok(1) => Err("it has one NVIDIA GPU, cuda:0".into()),
            Ok(count) => Err(format!("it has {count} NVIDIA GPUs, counted from 0")),
            Err(_) => Err("it has no NVIDIA GPU".into()),
        }
    }

    /// Number of the GPU.
    pub(super) fn number(self) -> usize {
        self.0
    }

    /// The device in Burn's terms.
    pub(super) fn device(self) -> CudaDevice {
        CudaDevice::new(self.0)
    }
}
