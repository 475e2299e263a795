//! Stacks of linear layers with softplus between them, forward and back.
//!
//! Weights travel as one row of numbers: of every layer the matrix `[out, in]` and the biases, and where it is normalised
//! γ and β after them. The tensor code is [`Stack`](crate::networks::Stack).

pub(crate) mod functions;
mod loops;
pub(crate) mod normalized;
pub(crate) mod plain;

/// One layer in a row of numbers.
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
    /// Numbers of a layer.
    fn length(&self, inputs: usize, outputs: usize) -> usize {
        outputs * (inputs + 1 + if self.normalized { 2 } else { 0 })
    }

    /// The layers in a row of numbers.
    pub(crate) fn layers<'a>(&self, mut flat: &'a [f32]) -> Vec<Layer<'a>> {
        let last = self.widths.len().saturating_sub(2);
        let take = |flat: &mut &'a [f32], n: usize| {
            let (head, rest) = flat.split_at(n);
            *flat = rest;
            head
        };
        let layer = |(depth, pair): (usize, &[usize])| {
            let (inputs, outputs) = (pair[0], pair[1]);
            let norm = if self.normalized { outputs } else { 0 };
            Layer {
                inputs,
                outputs,
                weight: take(&mut flat, outputs * inputs),
                bias: take(&mut flat, outputs),
                norm: (take(&mut flat, norm), take(&mut flat, norm)),
                activated: depth < last || self.activated,
            }
        };
        self.widths.windows(2).enumerate().map(layer).collect()
    }

    /// Where each layer's numbers are to be put, in a row of zeros.
    pub(crate) fn cut<'a>(&self, mut flat: &'a mut [f32]) -> Vec<&'a mut [f32]> {
        let mut parts = Vec::new();
        for pair in self.widths.windows(2) {
            let (head, rest) = flat.split_at_mut(self.length(pair[0], pair[1]));
            parts.push(head);
            flat = rest;
        }
        parts
    }

    /// Numbers of all layers.
    pub(crate) fn total(&self) -> usize {
        self.widths.windows(2).map(|pair| self.length(pair[0], pair[1])).sum()
    }
}
