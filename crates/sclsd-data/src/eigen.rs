//! Eigenvectors of a dense symmetric matrix, bitwise identical on any number of threads.

use std::num::NonZeroUsize;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, MatRef, Par};

use crate::vector_state::leave_vector_code_everywhere;

/// Number of parts into which a decomposition is split, whatever the number of threads. The split points of faer
/// determine how sums are rounded, so the split is fixed.
const PARTS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Eigenvalues in ascending order, and the orthonormal eigenvectors in the matching columns, of a symmetric `n × n`
/// matrix. Only the lower triangle is read.
///
/// # Panics
/// If the matrix is not square or has values that are not finite.
#[must_use]
pub fn eigenvectors(matrix: MatRef<'_, f64>) -> (Vec<f64>, Mat<f64>) {
    let n = matrix.nrows();
    let par = Par::Rayon(PARTS);
    let (mut values, mut vectors) = (vec![0.0; n], Mat::zeros(n, n));
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, par, <_>::default()));
    let diagonal = faer::diag::DiagMut::from_slice_mut(&mut values);
    self_adjoint_evd(matrix, diagonal, Some(vectors.as_mut()), par, MemStack::new(&mut memory), <_>::default())
        .expect("a finite symmetric matrix has eigenvectors");
    leave_vector_code_everywhere();
    (values, vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_have_the_same_bits_on_any_number_of_threads() {
        // large enough that faer splits the work
        let n = 700;
        let entry = |i: usize, j: usize| {
            let at = u64::try_from(i.max(j) * n + i.min(j)).unwrap();
            rand::RngExt::random_range(&mut crate::random_stream(5, crate::Purpose::Cell, at), -1.0..1.0_f64)
        };
        let matrix = Mat::from_fn(n, n, entry);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| eigenvectors(matrix.as_ref()))
        };
        let (values, vectors) = on(1);
        assert!(values.is_sorted());
        let left = &matrix * &vectors;
        for column in [0, n / 2, n - 1] {
            for row in 0..n {
                assert!((left[(row, column)] - values[column] * vectors[(row, column)]).abs() < 1e-10);
            }
        }
        for threads in [2, 3] {
            let again = on(threads);
            assert!(values == again.0 && vectors == again.1, "on {threads} threads");
        }
    }
}
