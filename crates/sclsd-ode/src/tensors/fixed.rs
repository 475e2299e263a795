//! Fixed methods on tensors: equal steps between two times of the grid.

use burn::tensor::{Tensor, backend::Backend};

use super::solution::{Solution, combine};
use crate::error::OdeError;
use crate::spec::OdeSpec;
use crate::tableau::Tableau;
use crate::work::Work;

pub(super) fn solve<B: Backend>(
    method: &Tableau,
    f: impl Fn(f64, Tensor<B, 2>) -> Tensor<B, 2>,
    start: Tensor<B, 2>,
    grid: &[f64],
    spec: &OdeSpec,
) -> Result<Solution<B>, OdeError> {
    let mut y = start;
    let mut states = vec![y.clone()];
    let mut work = Work::default();
    for pair in grid.windows(2) {
        #[expect(clippy::cast_precision_loss, reason = "numbers of steps are far below 2^52")]
        let h = (pair[1] - pair[0]) / spec.substeps as f64;
        let mut t = pair[0];
        for _ in 0..spec.substeps {
            let mut k: Vec<Tensor<B, 2>> = Vec::with_capacity(method.b.len());
            for (c, a) in method.c.iter().zip(method.a) {
                k.push(f(t + c * h, combine(&y, h, a, &k)));
            }
            y = combine(&y, h, method.b, &k);
            t += h;
            work.steps += 1;
            work.evaluations += k.len();
        }
        states.push(y.clone());
    }
    let finite = |y: &Tensor<B, 2>| first_not_finite(y.clone()).is_none();
    // a non-finite state stays non-finite, so checking the end is enough
    if finite(&y) {
        return Ok(Solution { states, work });
    }
    let mut bad = states.iter().map(|y| first_not_finite(y.clone())).enumerate();
    let (at, row) = bad.find_map(|(at, row)| Some((at, row?))).unwrap_or_default();
    Err(OdeError::NotFinite { row, time: grid[at.saturating_sub(1)] })
}

/// The first row with a number that is not finite.
fn first_not_finite<B: Backend>(y: Tensor<B, 2>) -> Option<usize> {
    let width = y.dims()[1];
    Some(y.detach().into_data().iter::<f64>().position(|v| !v.is_finite())? / width)
}
