//! The update as one pass over host memory.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{BETA_1, BETA_2, EPSILON, Moments};

/// Numbers handled by one thread at a time.
const CHUNK: usize = 1 << 14;

/// Euclidean norm, summed chunk by chunk in order.
pub(super) fn norm(values: &[f32]) -> f64 {
    let chunk = |values: &[f32]| Arch::new().dispatch(Squares { values });
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

/// One step of Adam, with the gradient times `factor`.
pub(super) fn update(values: &mut [f32], gradient: &[f32], factor: f64, lr: f64, moments: &mut Moments) {
    moments.updates += 1;
    let power = i32::try_from(moments.updates).unwrap_or(i32::MAX);
    let correction = |beta: f32| 1.0 - f64::from(beta).powi(power);
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let (factor, lr, c1, c2) = (factor as f32, lr as f32, correction(BETA_1) as f32, correction(BETA_2) as f32);
    values
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(moments.first.values.par_chunks_mut(CHUNK))
        .zip(moments.second.values.par_chunks_mut(CHUNK))
        .for_each(|(((values, gradient), first), second)| {
            Arch::new().dispatch(Chunk { values, gradient, first, second, factor, lr, c1, c2 });
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
