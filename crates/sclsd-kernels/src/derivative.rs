//! What a function that knows its own derivative is.

use std::fmt::Debug;

/// The derivative of a function, on numbers in the host's memory.
pub trait Derivative: Debug + Send + Sync {
    /// That by every input, row-major, given that by the output; empty where it is 0.
    fn vjp(&self, grad_output: Vec<f32>) -> Vec<Vec<f32>>;
}

/// The derivatives of a sum, known beforehand.
#[derive(Debug)]
pub struct PrecomputedGradients(pub Vec<Vec<f32>>);

impl Derivative for PrecomputedGradients {
    fn vjp(&self, grad_output: Vec<f32>) -> Vec<Vec<f32>> {
        /// Numbers handled by one thread at a time.
        const CHUNK: usize = 1 << 14;
        let times = |grads: &Vec<f32>| {
            crate::rows::filled_rows(grads.len(), 1, CHUNK, |first, out| {
                out.iter_mut().zip(&grads[first..]).for_each(|(out, grad)| *out = grad * grad_output[0]);
            })
        };
        self.0.iter().map(times).collect()
    }
}
