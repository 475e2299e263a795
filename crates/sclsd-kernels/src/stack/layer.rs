//! The layers of a stack, and their sizes.

use std::ops::Deref;

/// One linear layer, with optional batch normalisation and activation.
#[derive(Debug, Clone, Copy)]
pub struct StackLayer<'a> {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weight: &'a [f32],
    /// `outputs`.
    pub bias: &'a [f32],
    /// γ and β; empty if the layer has no batch normalisation.
    pub norm: (&'a [f32], &'a [f32]),
    /// Whether softplus follows.
    pub activated: bool,
}

/// Sizes of a stack.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Widths, from input to output.
    pub widths: Vec<usize>,
    /// Whether every layer has batch normalisation.
    pub normalized: bool,
    /// Whether softplus follows the last layer too.
    pub activated: bool,
}

impl Sizes {
    /// Width of the output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.widths.last().copied().unwrap_or(0)
    }

    /// Number of weight vectors of a layer.
    #[must_use]
    pub fn parts(&self) -> usize {
        if self.normalized { 4 } else { 2 }
    }

    /// The layers with these weights.
    pub fn layers<'a, N: Deref<Target = [f32]>>(&self, weights: &'a [N]) -> Vec<StackLayer<'a>> {
        let last = self.widths.len().saturating_sub(2);
        let layer = |(depth, (pair, parts)): (usize, (&[usize], &'a [N]))| StackLayer {
            inputs: pair[0],
            outputs: pair[1],
            weight: &parts[0],
            bias: &parts[1],
            norm: if self.normalized { (&parts[2], &parts[3]) } else { (&[], &[]) },
            activated: depth < last || self.activated,
        };
        self.widths.windows(2).zip(weights.chunks(self.parts())).enumerate().map(layer).collect()
    }

    /// Zeros for the gradients with respect to all weights; the gradients of matrices are left empty.
    #[must_use]
    pub fn zeros(&self) -> Vec<Vec<f32>> {
        let scratch = |pair: &[usize]| {
            let outputs = pair[1];
            [0, outputs, outputs, outputs].into_iter().take(self.parts()).map(|n| vec![0.0; n])
        };
        self.widths.windows(2).flat_map(scratch).collect()
    }
}
