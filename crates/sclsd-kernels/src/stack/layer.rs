//! Layers and their sizes.

use std::ops::Deref;

/// One layer.
#[derive(Debug, Clone, Copy)]
pub struct StackLayer<'a> {
    /// Numbers in a row of its input.
    pub inputs: usize,
    /// Numbers in a row of its output.
    pub outputs: usize,
    /// `[outputs, inputs]`.
    pub weight: &'a [f32],
    /// `outputs`.
    pub bias: &'a [f32],
    /// γ and β; empty where the layer is not normalised.
    pub norm: (&'a [f32], &'a [f32]),
    /// Whether softplus follows.
    pub activated: bool,
}

/// Sizes of a stack.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// From input to output.
    pub widths: Vec<usize>,
    /// Whether every layer is normalised.
    pub normalized: bool,
    /// Whether softplus follows the last layer too.
    pub activated: bool,
}

impl Sizes {
    /// Numbers in a row of the output.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.widths.last().copied().unwrap_or(0)
    }

    /// Rows of numbers of a layer.
    #[must_use]
    pub fn parts(&self) -> usize {
        if self.normalized { 4 } else { 2 }
    }

    /// The layers whose weights these are.
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

    /// Scratch space for the derivatives by all weights, those by matrices aside.
    #[must_use]
    pub fn zeros(&self) -> Vec<Vec<f32>> {
        let scratch = |pair: &[usize]| {
            let outputs = pair[1];
            [0, outputs, outputs, outputs].into_iter().take(self.parts()).map(|n| vec![0.0; n])
        };
        self.widths.windows(2).flat_map(scratch).collect()
    }
}
