//! Matrix products in a chosen precision. (Burn's own products always use tensor cores if there are any, with factors
//! of 11 bits on NVIDIA GPUs.)

use burn::tensor::{DType, Shape};
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::StorageType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::cast;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::{Strategy, launch_ref};
use cubek::std::InputBinding;

use crate::cubes::units;
use crate::rows;
use sclsd_kernels::Precision;

/// `a b`, accumulated in 32 bits, with factors of the given precision.
pub(super) fn product<R: CubeRuntime>(a: CubeTensor<R>, b: CubeTensor<R>, precision: Precision) -> CubeTensor<R> {
    let shape = Shape::from(vec![a.meta.shape()[0], b.meta.shape()[1]]);
    let out = empty_device_contiguous_dtype(a.client.clone(), a.device.clone(), shape, DType::F32);
    let has = |kind: StorageType| out.client.properties().supports_type(kind);
    // tensor cores, or 32-bit units with factors rounded to the same precision
    let (strategy, kind, [a, b]) = match precision {
        Precision::F32 => (Strategy::SimpleUnit(Default::default()), DType::F32, [a, b]),
        Precision::Tf32 if has(cubecl::tf32::as_type_native_unchecked().storage_type()) => {
            (Strategy::Auto, DType::F32, [a, b])
        }
        Precision::Bf16 if has(DType::BF16.into()) => {
            (Strategy::Auto, DType::BF16, [a, b].map(|factor| cast(factor, DType::BF16)))
        }
        Precision::Tf32 => (Strategy::SimpleUnit(Default::default()), DType::F32, [a, b].map(|f| rounded(f, 11))),
        Precision::Bf16 => (Strategy::SimpleUnit(Default::default()), DType::F32, [a, b].map(|f| rounded(f, 8))),
    };
    let elements = MatmulGlobalElems { lhs: kind.into(), rhs: kind.into(), out: DType::F32.into() };
    let [lhs, rhs] = [a, b].map(|factor| InputBinding::new(factor.binding(), kind.into()));
    let mut elements = MatmulElems::from_globals(&elements);
    launch_ref(&strategy, &out.client, lhs, rhs, out.clone().binding(), &mut elements)
        .expect("every device multiplies matrices of f32");
    out
}

/// Rounds every number to a significand of `bits` bits, to nearest, ties to even.
fn rounded<R: CubeRuntime>(tensor: CubeTensor<R>, bits: u32) -> CubeTensor<R> {
    let tensor = burn_cubecl::kernel::into_contiguous(tensor);
    let n = tensor.meta.num_elements();
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    let out = empty_device_contiguous_dtype(client.clone(), device, tensor.meta.shape().clone(), DType::F32);
    let (count, dim) = units(n, rows::UNITS);
    round_kernel::launch::<R>(&client, count, dim, tensor.into_array_arg(), out.clone().into_array_arg(), 24 - bits);
    out
}

#[cube(launch)]
fn round_kernel(values: &Array<f32>, out: &mut Array<f32>, #[comptime] dropped: u32) {
    let i = ABSOLUTE_POS;
    if i < out.len() {
        let bits = u32::reinterpret(values[i]);
        let last = (bits >> dropped) & 1u32;
        let up = bits + comptime!((1u32 << (dropped - 1)) - 1) + last;
        out[i] = f32::reinterpret((up >> dropped) << dropped);
    }
}
