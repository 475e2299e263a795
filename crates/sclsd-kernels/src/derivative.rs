//! The backward pass of a function on host memory.

use std::fmt::Debug;

/// The vector–Jacobian product of a function on host memory.
pub trait Derivative: Debug + Send + Sync {
    /// Returns the gradient with respect to every input, row-major, given the gradient with respect to the output; an
    /// empty vector stands for zero.
    fn vjp(&self, grad_output: Vec<f32>) -> Vec<Vec<f32>>;
}

/// The gradients of a scalar function, computed during its forward pass.
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
