//! The kernels for every CubeCL backend: GPUs through CUDA, Vulkan, Metal or DirectX. This crate is empty without the
//! feature `cubecl`.

#![cfg(feature = "cubecl")]

mod adam;
mod cubes;
mod flow;
mod likelihood;
mod product;
mod recurrent;
mod rows;

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::client::ComputeClient;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use sclsd_kernels::recurrent::At;
use sclsd_kernels::{
    AdamStep, FlowPlan, Flowed, Handle, OnDevice, Precision, SparseRows, VisitLikelihood, Visited, VisitsByCell,
};

use crate::cubes::{cubes, units};

/// The kernels of a CubeCL runtime.
#[derive(Debug)]
pub struct Cube<R> {
    precision: Precision,
    runtime: PhantomData<R>,
}

impl<R: CubeRuntime> Cube<R> {
    /// The kernels of a backend's runtime, with matrix products in `f32`.
    #[must_use]
    pub fn of<F: FloatElement, I: IntElement, BT: BoolElement>(
        _: PhantomData<CubeBackend<R, F, I, BT>>,
    ) -> &'static dyn OnDevice {
        Self::with(Precision::F32)
    }

    fn with(precision: Precision) -> &'static dyn OnDevice {
        match precision {
            Precision::F32 => const { &Self { precision: Precision::F32, runtime: PhantomData } },
            Precision::Tf32 => const { &Self { precision: Precision::Tf32, runtime: PhantomData } },
            Precision::Bf16 => const { &Self { precision: Precision::Bf16, runtime: PhantomData } },
        }
    }
}

/// A client and a device, on which tensors are created.
struct Place<R: CubeRuntime> {
    client: ComputeClient<R>,
    device: R::Device,
}

impl<R: CubeRuntime> Place<R> {
    fn on(device: &dyn Any) -> Self {
        let device = device.downcast_ref::<R::Device>().expect("a device of this runtime").clone();
        Self { client: R::client(&device), device }
    }

    fn of(tensor: &CubeTensor<R>) -> Self {
        Self { client: tensor.client.clone(), device: tensor.device.clone() }
    }

    /// A tensor with undefined contents.
    fn empty(&self, shape: &[usize]) -> CubeTensor<R> {
        let shape = Shape::from(shape.to_vec());
        empty_device_contiguous_dtype(self.client.clone(), self.device.clone(), shape, DType::F32)
    }

    /// Copies numbers from the host to the device.
    fn upload<E: CubeElement>(&self, values: &[E], dtype: DType) -> CubeTensor<R> {
        let handle = self.client.create_from_slice(E::as_bytes(values));
        let shape = Shape::from(vec![values.len()]);
        CubeTensor::new_contiguous(self.client.clone(), self.device.clone(), shape, handle, dtype)
    }

    fn floats(&self, values: &[f32]) -> CubeTensor<R> {
        self.upload(values, DType::F32)
    }

    /// Copies indices to the device. An empty array cannot be bound, so it is replaced by a single 0.
    fn indices(&self, values: &[u32]) -> CubeTensor<R> {
        self.upload(if values.is_empty() { &[0] } else { values }, DType::U32)
    }
}

/// The tensor behind a handle.
fn any_layout<R: CubeRuntime>(handle: Handle) -> CubeTensor<R> {
    *handle.downcast::<CubeTensor<R>>().expect("a tensor of this runtime")
}

/// The tensor behind a handle, made row-major.
fn tensor<R: CubeRuntime>(handle: Handle) -> CubeTensor<R> {
    into_contiguous(any_layout(handle))
}

/// Saved on the device for the backward pass of a flow.
struct Saved<R: CubeRuntime> {
    sizes: flow::Sizes,
    weights: CubeTensor<R>,
    grid: CubeTensor<R>,
    method: CubeTensor<R>,
    steps: CubeTensor<R>,
    taken: CubeTensor<R>,
}

impl<R: CubeRuntime> OnDevice for Cube<R> {
    fn with(&self, precision: Precision) -> &'static dyn OnDevice {
        Self::with(precision)
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn product(&self, a: Handle, b: Handle, precision: Precision) -> Handle {
        Box::new(product::product(any_layout::<R>(a), any_layout::<R>(b), precision))
    }

    fn follow(&self, start: Handle, weights: Handle, plan: &FlowPlan) -> Flowed {
        let (start, weights) = (tensor::<R>(start), tensor::<R>(weights));
        let rows = start.meta.shape()[0];
        let (place, sizes) = (Place::of(&start), flow::Sizes::new(plan, rows));
        let (grid, method) = (place.floats(&plan.grid), place.floats(&flow::coefficients(plan.method)));
        let states = place.empty(&[rows, sizes.times * sizes.width()]);
        let steps = place.empty(&[rows, sizes.slots * sizes.slot()]);
        let taken = place.empty(&[rows]);
        let failed = place.empty(&[rows, 2]);
        let (count, dim) = cubes(rows, flow::UNITS);
        flow::follow_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            weights.clone().into_array_arg(),
            start.into_array_arg(),
            grid.clone().into_array_arg(),
            method.clone().into_array_arg(),
            place.floats(&plan.tolerances).into_array_arg(),
            states.clone().into_array_arg(),
            steps.clone().into_array_arg(),
            taken.clone().into_array_arg(),
            failed.clone().into_array_arg(),
            sizes.clone(),
        );
        let saved = Arc::new(Saved { sizes, weights, grid, method, steps, taken });
        Flowed { states: Box::new(states), failed: Box::new(failed), saved }
    }

    fn follow_vjp(&self, saved: &(dyn Any + Send + Sync), grads: Handle) -> [Handle; 2] {
        let saved = saved.downcast_ref::<Saved<R>>().expect("what this runtime kept");
        let grads = tensor::<R>(grads);
        let (place, rows) = (Place::of(&grads), grads.meta.shape()[0]);
        let grad_start = place.empty(&[rows, saved.sizes.width()]);
        let grad_weights = place.empty(&[rows, saved.sizes.length()]);
        let (count, dim) = cubes(rows, flow::UNITS);
        flow::follow_vjp_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            saved.weights.clone().into_array_arg(),
            saved.grid.clone().into_array_arg(),
            saved.method.clone().into_array_arg(),
            saved.steps.clone().into_array_arg(),
            saved.taken.clone().into_array_arg(),
            grads.into_array_arg(),
            grad_start.clone().into_array_arg(),
            grad_weights.clone().into_array_arg(),
            saved.sizes.clone(),
        );
        [Box::new(grad_start), Box::new(grad_weights)]
    }

    fn recur(&self, flat: Handle, projected: Handle, steps: usize) -> [Handle; 2] {
        let (flat, projected) = (tensor::<R>(flat), tensor::<R>(projected));
        let place = Place::of(&projected);
        let [visits, width] = [projected.meta.shape()[0], projected.meta.shape()[1]];
        let (lower, upper) = (place.empty(&[visits, width]), place.empty(&[visits, width]));
        let (count, dim) = units(visits / steps, recurrent::WALKS);
        recurrent::recur_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            flat.into_array_arg(),
            projected.into_array_arg(),
            lower.clone().into_array_arg(),
            upper.clone().into_array_arg(),
            width,
            steps,
        );
        [Box::new(lower), Box::new(upper)]
    }

    fn recurrent_vjp(&self, flat: Handle, [lower, upper]: [Handle; 2], grads: Handle, steps: usize) -> [Handle; 2] {
        let (flat, grads) = (tensor::<R>(flat), tensor::<R>(grads));
        let place = Place::of(&grads);
        let [visits, width] = [grads.meta.shape()[0], grads.meta.shape()[1]];
        let walks = visits / steps;
        let grad_flat = place.empty(&[walks, At { width }.start(1).end]);
        let grad_projected = place.empty(&[visits, width]);
        let (count, dim) = units(walks, recurrent::WALKS);
        recurrent::recurrent_vjp_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            flat.into_array_arg(),
            tensor::<R>(lower).into_array_arg(),
            tensor::<R>(upper).into_array_arg(),
            grads.into_array_arg(),
            grad_projected.clone().into_array_arg(),
            grad_flat.clone().into_array_arg(),
            width,
            steps,
        );
        [Box::new(grad_flat), Box::new(grad_projected)]
    }

    fn scatter(&self, rows: SparseRows<'_>, columns: usize, device: &dyn Any) -> Handle {
        let place = Place::<R>::on(device);
        let (mut indptr, mut indices, mut values) = (vec![0_u32], Vec::new(), Vec::new());
        for row in 0..rows.rows.len() {
            let (at, found) = rows.row(row);
            indices.extend_from_slice(at);
            values.extend_from_slice(found);
            indptr.push(u32::try_from(indices.len()).expect("a batch has fewer than 2^32 values"));
        }
        if values.is_empty() {
            values.push(0.0); // an empty array cannot be bound
        }
        let out = place.empty(&[rows.rows.len(), columns]);
        let (count, dim) = cubes(rows.rows.len(), rows::UNITS as usize);
        rows::scatter_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            place.indices(&indptr).into_array_arg(),
            place.indices(&indices).into_array_arg(),
            place.floats(&values).into_array_arg(),
            out.clone().into_array_arg(),
            columns,
        );
        Box::new(out)
    }

    fn sum_visits(&self, grads: Handle, by_cell: &VisitsByCell) -> Handle {
        let grads = tensor::<R>(grads);
        let (place, width) = (Place::of(&grads), grads.meta.shape()[1]);
        let cells = by_cell.indptr.len() - 1;
        let out = place.empty(&[cells, width]);
        let (count, dim) = units(cells * width, rows::UNITS);
        rows::sum_visits_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            place.indices(&by_cell.indptr).into_array_arg(),
            place.indices(&by_cell.visits).into_array_arg(),
            grads.into_array_arg(),
            out.clone().into_array_arg(),
            width,
        );
        Box::new(out)
    }

    fn likelihood(&self, of: Visited<'_>) -> VisitLikelihood {
        let (logits, theta) = (tensor::<R>(of.logits), tensor::<R>(of.theta));
        let (place, visits, genes) = (Place::of(&logits), of.cells.len(), theta.meta.shape()[0]);
        let grad_logits = place.empty(&[visits, 2 * genes]);
        let grad_theta = place.empty(&[visits, genes]);
        let (grad_log_library, value) = (place.empty(&[visits]), place.empty(&[visits]));
        let (count, dim) = cubes(visits, likelihood::UNITS);
        likelihood::likelihood_kernel::launch::<f32, R>(
            &place.client,
            count,
            dim,
            logits.into_array_arg(),
            tensor::<R>(of.bias).into_array_arg(),
            theta.into_array_arg(),
            tensor::<R>(of.log_library).into_array_arg(),
            tensor::<R>(of.counts).into_array_arg(),
            place.indices(of.cells).into_array_arg(),
            grad_logits.clone().into_array_arg(),
            grad_theta.clone().into_array_arg(),
            grad_log_library.clone().into_array_arg(),
            value.clone().into_array_arg(),
            genes,
        );
        VisitLikelihood {
            grad_logits: Box::new(grad_logits),
            grad_theta: Box::new(grad_theta),
            grad_log_library: Box::new(grad_log_library),
            value: Box::new(value),
        }
    }

    fn rates(&self, step: &AdamStep, device: &dyn Any) -> Handle {
        Box::new(Place::<R>::on(device).floats(&step.rates()))
    }

    fn scratch(&self, numbers: usize, device: &dyn Any) -> Handle {
        Box::new(Place::<R>::on(device).empty(&[numbers]))
    }

    fn adam(&self, weights: [Handle; 4], rates: Handle, norms: Handle, place: usize) -> [Handle; 3] {
        let [values, gradient, first, second] = weights.map(tensor::<R>);
        let (rates, norms) = (tensor::<R>(rates), tensor::<R>(norms));
        let (at, n) = (Place::of(&values), values.meta.num_elements());
        let place = u32::try_from(place).expect("fewer than 2^32 tensors");
        let new: [CubeTensor<R>; 3] = std::array::from_fn(|_| at.empty(&[n]));
        let (count, dim) = cubes(1, likelihood::UNITS);
        let (given, scratch) = (gradient.clone().into_array_arg(), norms.clone().into_array_arg());
        adam::norm_kernel::launch::<f32, R>(&at.client, count, dim, given, scratch, place);
        let (count, dim) = units(n, rows::UNITS);
        let [new_values, new_first, new_second] = new.clone();
        adam::update_kernel::launch::<f32, R>(
            &at.client,
            count,
            dim,
            values.into_array_arg(),
            gradient.into_array_arg(),
            first.into_array_arg(),
            second.into_array_arg(),
            norms.into_array_arg(),
            rates.into_array_arg(),
            new_values.into_array_arg(),
            new_first.into_array_arg(),
            new_second.into_array_arg(),
            place,
        );
        new.map(|tensor| -> Handle { Box::new(tensor) })
    }
}
