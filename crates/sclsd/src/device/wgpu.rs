//! Devices of the system's graphics interface: Vulkan, DirectX, or Metal on Apple's systems.

use burn::backend::wgpu::WgpuDevice;
use burn::backend::wgpu::graphics::{AutoGraphicsApi, GraphicsApi};
use wgpu::{DeviceType, Instance, InstanceDescriptor};

/// Order of devices: GPUs with their own memory first, CPUs last.
const ORDER: [DeviceType; 5] =
    [DeviceType::DiscreteGpu, DeviceType::IntegratedGpu, DeviceType::VirtualGpu, DeviceType::Other, DeviceType::Cpu];

/// A device of the system's graphics interface that is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapter {
    /// Number of the device among all devices, as in its name.
    number: usize,
    kind: DeviceType,
    /// Index of the device among the devices of its type.
    index: usize,
}

impl Adapter {
    /// The device with that number, or what is missing.
    pub(super) fn find(number: usize) -> Result<Self, String> {
        let backends = AutoGraphicsApi::backend().into();
        let instance =
            Instance::new(InstanceDescriptor { backends, ..InstanceDescriptor::new_without_display_handle() });
        let kinds: Vec<DeviceType> = pollster::block_on(instance.enumerate_adapters(backends))
            .iter()
            .map(|adapter| adapter.get_info().device_type)
            .collect();
        let of = |kind| (0..kinds.iter().filter(|other| **other == kind).count()).map(move |index| (kind, index));
        let all: Vec<(DeviceType, usize)> = ORDER.into_iter().flat_map(of).collect();
        match all.get(number) {
            Some(&(kind, index)) => Ok(Self { number, kind, index }),
            None if all.is_empty() => Err("no driver for Vulkan, Metal or DirectX is installed".into()),
            None => Err(format!("there are {} such devices, counted from 0", all.len())),
        }
    }

    /// Number of the device, as in its name.
    pub(super) fn number(self) -> usize {
        self.number
    }

    /// The device in Burn's terms.
    pub(super) fn device(self) -> WgpuDevice {
        match self.kind {
            DeviceType::DiscreteGpu => WgpuDevice::DiscreteGpu(self.index),
            DeviceType::IntegratedGpu => WgpuDevice::IntegratedGpu(self.index),
            DeviceType::VirtualGpu => WgpuDevice::VirtualGpu(self.index),
            DeviceType::Cpu => WgpuDevice::Cpu,
            DeviceType::Other => WgpuDevice::DefaultDevice,
        }
    }
}
