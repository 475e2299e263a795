//! Stacks of linear layers with softplus between them, forward and back.
//!
//! Weights travel as rows of numbers: of every layer the matrix `[out, in]` and the biases, and where it is normalised γ
//! and β after them. The tensor code is [`Stack`](crate::networks::Stack).

use std::ops::Deref;

pub(crate) mod functions;
mod loops;
pub(crate) mod normalized;
pub(crate) mod plain;

/// One layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub inputs: usize,
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    /// γ and β; empty where the layer is not normalised.
    pub norm: (&'a [f32], &'a [f32]),
    /// Whether softplus follows.
    pub activated: bool,
}

/// Sizes of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    /// From input to output.
    pub widths: Vec<usize>,
    /// Whether every layer is normalised.
    pub normalized: bool,
    /// Whether softplus follows the last layer too.
    pub activated: bool,
}

impl Sizes {
    /// Rows of numbers of a layer.
    pub(crate) fn parts(&self) -> usize {
        if self.normalized { 4 } else { 2 }
    }

    /// The layers whose weights these are.
    pub(crate) fn layers<'a, N: Deref<Target = [f32]>>(&self, weights: &'a [N]) -> Vec<Layer<'a>> {
        let last = self.widths.len().saturating_sub(2);
        let layer = |(depth, (pair, parts)): (usize, (&[usize], &'a [N]))| Layer {
            inputs: pair[0],
            outputs: pair[1],
            weight: &parts[0],
            bias: &parts[1],
            norm: if self.normalized { (&parts[2], &parts[3]) } else { (&[], &[]) },
            activated: depth < last || self.activated,
        };
        self.widths.windows(2).zip(weights.chunks(self.parts())).enumerate().map(layer).collect()
    }

    /// Room for the derivatives by all weights, those by matrices aside.
    pub(crate) fn zeros(&self) -> Vec<Vec<f32>> {
        let room = |pair: &[usize]| {
            let outputs = pair[1];
            [0, outputs, outputs, outputs].into_iter().take(self.parts()).map(|n| vec![0.0; n])
        };
        self.widths.windows(2).flat_map(room).collect()
    }
}
