//! What a function that knows its own derivative is.

use std::fmt::Debug;

/// The derivative of a function, on numbers in the host's memory.
pub trait Derivative: Debug + Send + Sync {
    /// That by every input, row-major, given that by the output; empty where it is 0.
    fn by_inputs(&self, by_output: Vec<f32>) -> Vec<Vec<f32>>;
}

/// The derivatives of a sum, known beforehand.
#[derive(Debug)]
pub struct OfSum(pub Vec<Vec<f32>>);

impl Derivative for OfSum {
    fn by_inputs(&self, by_sum: Vec<f32>) -> Vec<Vec<f32>> {
        /// Numbers handled by one thread at a time.
        const CHUNK: usize = 1 << 14;
        let times = |slopes: &Vec<f32>| {
            crate::rows::made(slopes.len(), 1, CHUNK, |first, out| {
                out.iter_mut().zip(&slopes[first..]).for_each(|(out, slope)| *out = slope * by_sum[0]);
            })
        };
        self.0.iter().map(times).collect()
    }
}
