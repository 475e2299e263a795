//! A step of Adam as one pass over host memory.
//!
//! Source: Kingma and Ba 2015, with bias correction of the moments.

use pulp::NullaryFnOnce;
use rayon::prelude::*;

use crate::simd::arch;

/// Decay rate of the first moment, β₁.
pub const BETA_1: f32 = 0.9;
/// Decay rate of the second moment, β₂.
pub const BETA_2: f32 = 0.999;
/// ε, added to the square root of the second moment.
pub const EPSILON: f32 = 1e-8;

/// Numbers handled by one thread at a time.
const CHUNK: usize = 1 << 14;

/// Euclidean norm, accumulated chunk by chunk in a fixed order.
#[must_use]
pub fn norm(values: &[f32]) -> f64 {
    let chunk = |values: &[f32]| arch().dispatch(Squares { values });
    values.par_chunks(CHUNK).map(chunk).collect::<Vec<f64>>().iter().sum::<f64>().sqrt()
}

struct Squares<'a> {
    values: &'a [f32],
}

impl NullaryFnOnce for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled for the vector width at hand only as a part of it")]
    fn call(self) -> f64 {
        let mut lanes = [0.0_f64; 8];
        let (chunks, rest) = self.values.as_chunks::<8>();
        for chunk in chunks {
            for lane in 0..8 {
                lanes[lane] += f64::from(chunk[lane]) * f64::from(chunk[lane]);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>()
    }
}

/// Updates `values` and the two moments in place by one step, with the gradient scaled by `factor`. `updates` counts
/// the steps so far, this step included.
pub fn update(
    values: &mut [f32],
    gradient: &[f32],
    [factor, lr]: [f64; 2],
    [first, second]: [&mut [f32]; 2],
    updates: usize,
) {
    let power = i32::try_from(updates).unwrap_or(i32::MAX);
    let correction = |beta: f32| 1.0 - f64::from(beta).powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let (factor, lr, c1, c2) = (factor as f32, lr as f32, correction(BETA_1) as f32, correction(BETA_2) as f32);
    values
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK))
        .zip(second.par_chunks_mut(CHUNK))
        .for_each(|(((values, gradient), first), second)| {
            arch().dispatch(Chunk { values, gradient, first, second, factor, lr, c1, c2 });
        });
}

struct Chunk<'a> {
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    factor: f32,
    lr: f32,
    c1: f32,
    c2: f32,
}

impl NullaryFnOnce for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled for the vector width at hand only as a part of it")]
    fn call(self) {
        let moments = self.first.iter_mut().zip(self.second);
        for ((value, gradient), (first, second)) in self.values.iter_mut().zip(self.gradient).zip(moments) {
            let g = gradient * self.factor;
            *first = BETA_1 * *first + (1.0 - BETA_1) * g;
            *second = BETA_2 * *second + (1.0 - BETA_2) * g * g;
            *value -= self.lr * (*first / self.c1) / ((*second / self.c2).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_that_of_the_definition() {
        let n = 2 * CHUNK + 3;
        let number = |i: usize, step: usize| f32::from(u16::try_from(i * step % 101).unwrap()) / 50.0 - 1.0;
        let gradient: Vec<f32> = (0..n).map(|i| number(i, 7)).collect();
        let (mut values, mut first, mut second) = (vec![0.5_f32; n], vec![0.0; n], vec![0.0; n]);
        let mut exact = vec![[0.5_f64, 0.0, 0.0]; n];
        for step in 1..=3 {
            update(&mut values, &gradient, [0.7, 0.01], [&mut first, &mut second], step);
            for ([value, first, second], gradient) in exact.iter_mut().zip(&gradient) {
                let (g, power) = (0.7 * f64::from(*gradient), i32::try_from(step).unwrap());
                *first = 0.9 * *first + 0.1 * g;
                *second = 0.999 * *second + 0.001 * g * g;
                let (c1, c2) = (1.0 - 0.9_f64.powi(power), 1.0 - 0.999_f64.powi(power));
                *value -= 0.01 * (*first / c1) / ((*second / c2).sqrt() + 1e-8);
            }
        }
        for (found, exact) in values.iter().zip(&exact) {
            assert!((f64::from(*found) - exact[0]).abs() < 1e-6, "{found} {}", exact[0]);
        }
        let exact: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!((norm(&gradient) - exact).abs() < 1e-9 * exact);
    }
}
