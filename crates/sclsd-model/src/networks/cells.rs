//! The distinct cells of a batch, and the visits of every cell.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use sclsd_kernels::stack::RowWeights;
use sclsd_kernels::{Expression, GlobalBatch, VisitsByCell};

use crate::accelerated::{gathered, scatter};
use crate::derivative::Trainable;
use crate::executor::Kernels;

/// The distinct cells of a batch, one row per cell, however often walks visit it.
#[derive(Debug, Clone)]
pub struct Cells<B: Backend> {
    /// Expression of the cells.
    pub(crate) expression: Arc<Expression>,
    /// Weight of every cell: its number of visits.
    pub(crate) weights: Arc<RowWeights>,
    /// The cell of every visit, `[visits]`.
    places: Tensor<B, 1, Int>,
    kernels: Kernels,
    /// For kernels on a device: the visits of every cell, and the expression on the device.
    on_device: Option<(Arc<VisitsByCell>, Tensor<B, 2>)>,
    device: B::Device,
}

impl<B: Trainable> Cells<B> {
    /// Cells with this expression; `places` holds the cell of every visit.
    ///
    /// # Panics
    /// If a place is not below the number of cells.
    #[must_use]
    pub fn new(
        expression: Expression,
        places: Vec<u32>,
        global: &GlobalBatch,
        kernels: Kernels,
        device: &B::Device,
    ) -> Self {
        let weights = RowWeights::of_visits(&places, expression.n_cells(), global);
        let on_device = match kernels {
            Kernels::Device(kernels) => {
                let by_cell = VisitsByCell::new(&places, expression.n_cells());
                let dense = match expression.sparse() {
                    Some(rows) => Tensor::from_inner(scatter(kernels, rows, expression.n_genes(), device)),
                    None => dense(&expression, device),
                };
                Some((Arc::new(by_cell), dense))
            }
            Kernels::Tensors | Kernels::Host => None,
        };
        let visits = places.len();
        Self {
            expression: Arc::new(expression),
            weights: Arc::new(weights),
            places: Tensor::from_data(TensorData::new(places, [visits]), device),
            kernels,
            on_device,
            device: device.clone(),
        }
    }

    /// The device of the tensors.
    #[must_use]
    pub fn device(&self) -> &B::Device {
        &self.device
    }

    /// The expression, `[cells, genes]`.
    pub(crate) fn to_tensor(&self) -> Tensor<B, 2> {
        match &self.on_device {
            Some((_, dense)) => dense.clone(),
            None => dense(&self.expression, &self.device),
        }
    }

    /// The rows of cells at every visit.
    ///
    /// # Shapes
    /// - `rows`: `[cells, n]` → `[visits, n]`
    #[must_use]
    pub fn at_visits(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        match (self.kernels, &self.on_device) {
            (Kernels::Device(kernels), Some((by_cell, _))) => {
                let there = rows.clone().inner().select(0, self.places.clone().inner());
                gathered(kernels, rows, there, Arc::clone(by_cell))
            }
            _ => rows.select(0, self.places.clone()),
        }
    }
}

/// The dense expression on a device, `[cells, genes]`.
fn dense<B: Backend>(expression: &Expression, device: &B::Device) -> Tensor<B, 2> {
    let shape = [expression.n_cells(), expression.n_genes()];
    Tensor::from_data(TensorData::new(expression.to_dense(), shape), device)
}
