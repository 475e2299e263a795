//! Diffusion maps and diffusion pseudotime.
//!
//! ```text
//! K = D⁻¹ C D⁻¹,  D = diag(C 1)          density of cells taken out
//! T = Z⁻¹ K Z⁻¹,  Z² = diag(K 1)         symmetric, eigenvalues λ_j ≤ 1, eigenvectors ψ_j
//! d²(a, b) = Σ_j (λ_j / (1 − λ_j))² (ψ_j(a) − ψ_j(b))²
//! ```
//!
//! C are the connectivities. For λ_j ≥ 0.9994, the stationary state, the factor is 1, as in scanpy. The pseudotime of a
//! cell is d(root, cell), scaled so that the furthest cell in the root's component has pseudotime 1.
//!
//! Sources: Coifman and Lafon, 2006; Haghverdi et al., 2016; `scanpy.tl.diffmap` and `scanpy.tl.dpt`.

use faer::Mat;
use rayon::prelude::*;
use sclsd_data::{Csr, CsrView, Matrix, eigenvectors};

use crate::components;
use crate::graph::{GraphError, Undirected, check_graph};
use crate::lanczos::{Eigenpairs, largest};

/// Eigenvalues of at least this value belong to the stationary state.
const STATIONARY: f64 = 0.9994;
/// Residual below which an eigenpair has converged.
const TOLERANCE: f64 = 1e-8;
/// Number of cells up to which all eigenpairs are computed.
const DENSE: usize = 400;
/// Upper limit on the number of products with the operator.
const PRODUCTS: usize = 20_000;
/// Fractional part of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The leading eigenvalues and eigenvectors of the diffusion operator.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffusionMap {
    /// Eigenvalues λ in descending order; stored as uns `diffmap_evals`.
    pub eigenvalues: Vec<f64>,
    /// Eigenvectors ψ, `n_cells × n_components`, the stationary state first; stored as obsm `X_diffmap`.
    pub components: Matrix,
}

/// The reason why a diffusion map or pseudotime cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffusionError {
    /// The matrix is not a valid graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// There are fewer than three cells.
    #[error("a diffusion map needs at least 3 cells, but there are {n_cells}")]
    TooFewCells {
        /// Number of cells.
        n_cells: usize,
    },
    /// A cell without neighbours is not connected to the diffusion.
    #[error("cell {cell} has no neighbour in the graph, so nothing diffuses to it")]
    Isolated {
        /// The first such cell.
        cell: usize,
    },
    /// The root has no neighbours.
    #[error("root cell {root} reaches no other cell of the graph")]
    LonelyRoot {
        /// The root.
        root: usize,
    },
    /// The iteration did not converge.
    #[error("only {found} of {wanted} diffusion components were found; the graph may be in many pieces")]
    NotConverged {
        /// Eigenvectors found.
        found: usize,
        /// Requested number of eigenvectors.
        wanted: usize,
    },
}

/// Computes the first `n_components` of the diffusion map of a connectivity graph by Lanczos iteration. The graph is
/// made [undirected](Undirected) first. There are fewer components if there are few cells.
///
/// # Errors
/// [`DiffusionError`] if there are fewer than three cells, a cell has no neighbour, or a weight is negative or not
/// finite.
pub fn diffusion_map<'a>(
    connectivities: impl Into<CsrView<'a>>,
    n_components: usize,
) -> Result<DiffusionMap, DiffusionError> {
    let connectivities = connectivities.into();
    let n_cells = connectivities.n_rows();
    if n_cells < 3 {
        return Err(DiffusionError::TooFewCells { n_cells });
    }
    let undirected = Undirected::new(connectivities)?;
    let operator = Diffusion::new(undirected.graph())?;
    let wanted = n_components.clamp(1, n_cells - 1);
    let mut pairs =
        if n_cells <= DENSE { dense(&operator) } else { iterate(&operator, &components(undirected.graph())?, wanted)? };
    pairs.values.truncate(wanted);
    pairs.vectors.truncate(wanted);
    let signs: Vec<f64> = pairs.vectors.iter().map(|v| sign(v)).collect();
    #[expect(clippy::cast_possible_truncation, reason = "coordinates are kept in f32")]
    let coordinates = (0..n_cells)
        .flat_map(|cell| pairs.vectors.iter().zip(&signs).map(move |(v, s)| (v[cell] * s) as f32))
        .collect();
    Ok(DiffusionMap { eigenvalues: pairs.values, components: Matrix::new(wanted, coordinates) })
}

/// All eigenpairs, for few cells.
fn dense(operator: &Diffusion) -> Eigenpairs {
    let n = operator.matrix.n_rows();
    let mut matrix = Mat::<f64>::zeros(n, n);
    for cell in 0..n {
        let (others, weights) = operator.matrix.row(cell);
        others.iter().zip(weights).for_each(|(&other, &w)| matrix[(cell, other as usize)] = w);
    }
    let (values, vectors) = eigenvectors(matrix.as_ref());
    Eigenpairs {
        values: values.into_iter().rev().collect(),
        vectors: (0..n).rev().map(|j| vectors.col(j).iter().copied().collect()).collect(),
    }
}

/// The `wanted` largest eigenpairs, for many cells. Every component of the graph has its own stationary state with
/// eigenvalue 1, which is Z on that component. These are known, and the iteration finds the others.
fn iterate(operator: &Diffusion, pieces: &[usize], wanted: usize) -> Result<Eigenpairs, DiffusionError> {
    let n_cells = operator.matrix.n_rows();
    let mut sizes = vec![0_usize; pieces.iter().max().map_or(0, |last| last + 1)];
    pieces.iter().for_each(|&piece| sizes[piece] += 1);
    let mut largest_first: Vec<usize> = (0..sizes.len()).collect();
    largest_first.sort_by_key(|&piece| (usize::MAX - sizes[piece], piece));
    largest_first.truncate(wanted);
    let stationary = |&piece: &usize| {
        let on = |cell: usize| if pieces[cell] == piece { operator.roots[cell] } else { 0.0 };
        let length = (0..n_cells).map(|cell| on(cell).powi(2)).sum::<f64>().sqrt();
        (0..n_cells).map(|cell| on(cell) / length).collect()
    };
    let known: Vec<Vec<f64>> = largest_first.iter().map(stationary).collect();
    if known.len() == wanted {
        return Ok(Eigenpairs { values: vec![1.0; wanted], vectors: known });
    }
    // the golden ratio gives a well-spread start vector, which no eigenvector is orthogonal to
    let start = (0..n_cells).map(|cell| 1.0 + (GOLDEN * f64::from(u32::try_from(cell).unwrap_or(0))).fract()).collect();
    let rest = largest(|v| operator.apply(v), start, &known, wanted - known.len(), TOLERANCE, PRODUCTS)
        .map_err(|found| DiffusionError::NotConverged { found: found + known.len(), wanted })?;
    Ok(Eigenpairs {
        values: vec![1.0; known.len()].into_iter().chain(rest.values).collect(),
        vectors: known.into_iter().chain(rest.vectors).collect(),
    })
}

/// Sign that makes the largest entry of an eigenvector positive, so that the sign does not depend on the iteration.
fn sign(vector: &[f64]) -> f64 {
    let largest = vector.iter().fold(0.0, |a: f64, b| if b.abs() > a.abs() { *b } else { a });
    if largest < 0.0 { -1.0 } else { 1.0 }
}

impl DiffusionMap {
    /// Coordinates in which the Euclidean distance is the distance d of the module docs, from the first `n_components`.
    fn scaled(&self, n_components: usize) -> Matrix {
        let used = n_components.min(self.eigenvalues.len());
        let factor = |&value: &f64| if value < STATIONARY { value / (1.0 - value) } else { 1.0 };
        let factors: Vec<f64> = self.eigenvalues[..used].iter().map(factor).collect();
        #[expect(clippy::cast_possible_truncation, reason = "coordinates are kept in f32")]
        let rows = (0..self.components.n_rows())
            .flat_map(|cell| {
                self.components.row(cell)[..used].iter().zip(&factors).map(|(v, f)| (f64::from(*v) * f) as f32)
            })
            .collect();
        Matrix::new(used.max(1), rows)
    }

    /// Pseudotime of every cell from the first `n_components`: 0 at the root, 1 at the furthest cell, infinite for
    /// cells that are not connected to the root.
    ///
    /// Reference: `scanpy.tl.dpt`, which uses 10 components.
    ///
    /// # Errors
    /// [`DiffusionError`] if the root reaches no other cell, or the graph does not have the map's cells.
    ///
    /// # Panics
    /// If the root is not a cell.
    pub fn pseudotime(
        &self,
        connectivities: &Csr,
        root: usize,
        n_components: usize,
    ) -> Result<Vec<f64>, DiffusionError> {
        let scaled = self.scaled(n_components);
        check_graph(connectivities, scaled.n_rows())?;
        let labels = components(connectivities)?;
        let distance = |cell: usize| {
            if labels[cell] == labels[root] { squared_distance(&scaled, root, cell).sqrt() } else { f64::INFINITY }
        };
        let distances: Vec<f64> = (0..scaled.n_rows()).map(distance).collect();
        let furthest = distances.iter().copied().filter(|d| d.is_finite()).fold(0.0, f64::max);
        if furthest <= 0.0 {
            return Err(DiffusionError::LonelyRoot { root });
        }
        Ok(distances.into_iter().map(|d| d / furthest).collect())
    }

    /// The cell among `candidates` with the largest mean squared diffusion distance to all cells, from the first
    /// `n_components`. Ties go to the first candidate. This is the default root cell within a root cluster.
    #[must_use]
    pub fn outermost(&self, candidates: &[usize], n_components: usize) -> Option<usize> {
        let scaled = self.scaled(n_components);
        #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
        let n = scaled.n_rows() as f64;
        let mean: Vec<f64> = (0..scaled.n_cols())
            .map(|j| (0..scaled.n_rows()).map(|cell| f64::from(scaled.row(cell)[j])).sum::<f64>() / n)
            .collect();
        // Σ_b ‖a − b‖² equals ‖a − mean‖² n plus a constant that does not depend on a
        let outwardness =
            |cell: usize| scaled.row(cell).iter().zip(&mean).map(|(v, m)| (f64::from(*v) - m).powi(2)).sum::<f64>();
        candidates.iter().copied().max_by(|&a, &b| outwardness(a).total_cmp(&outwardness(b)).then(b.cmp(&a)))
    }
}

fn squared_distance(points: &Matrix, a: usize, b: usize) -> f64 {
    points.row(a).iter().zip(points.row(b)).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum()
}

/// The operator T of the module docs.
#[derive(Debug)]
struct Diffusion {
    matrix: Csr<f64>,
    /// Diagonal of Z.
    roots: Vec<f64>,
}

impl Diffusion {
    fn new(connectivities: CsrView<'_>) -> Result<Self, DiffusionError> {
        let sum = |cell: usize| connectivities.row(cell).1.iter().map(|&w| f64::from(w)).sum();
        let density: Vec<f64> = (0..connectivities.n_rows()).map(sum).collect();
        if let Some(cell) = density.iter().position(|d| *d <= 0.0) {
            return Err(DiffusionError::Isolated { cell });
        }
        let scaled = |weights: &Csr<f64>, by: &[f64]| {
            let values = (0..weights.n_rows())
                .flat_map(|cell| {
                    let (others, row) = weights.row(cell);
                    others.iter().zip(row).map(move |(&other, w)| w / (by[cell] * by[other as usize]))
                })
                .collect();
            Csr::over(weights.pattern().clone(), values)
        };
        let kernel = scaled(&connectivities.map(f64::from), &density);
        let roots: Vec<f64> = (0..kernel.n_rows()).map(|cell| kernel.row(cell).1.iter().sum::<f64>().sqrt()).collect();
        Ok(Self { matrix: scaled(&kernel, &roots), roots })
    }

    fn apply(&self, vector: &[f64]) -> Vec<f64> {
        let product = |cell: usize| {
            let (others, weights) = self.matrix.row(cell);
            others.iter().zip(weights).map(|(&other, w)| w * vector[other as usize]).sum::<f64>()
        };
        (0..vector.len()).into_par_iter().with_min_len(512).map(product).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ladder of cells, with time along it. The last `lonely` cells form a separate ladder.
    fn ladder(n: u32, lonely: u32) -> Csr {
        let cut = n - lonely;
        let rows = (0..n).map(|i| {
            let near = |j: &u32| *j != i && i.abs_diff(*j) <= 3 && (i < cut) == (*j < cut);
            (i.saturating_sub(3)..n.min(i + 4))
                .filter(near)
                .map(|j| (j, 1.0 / (1.0 + f32::from(u8::try_from(i.abs_diff(j)).unwrap()))))
                .collect()
        });
        Csr::from_rows(n as usize, rows.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn components_are_orthonormal_eigenvectors_in_falling_order() {
        for n in [120, DENSE + 200] {
            orthonormal_eigenvectors(n);
        }
    }

    fn orthonormal_eigenvectors(n: usize) {
        let graph = ladder(u32::try_from(n).unwrap(), 0);
        let map = diffusion_map(&graph, 8).unwrap();
        let operator = Diffusion::new((&graph).into()).unwrap().matrix;
        assert!((map.eigenvalues[0] - 1.0).abs() < 1e-9, "{:?}", map.eigenvalues);
        assert!(map.eigenvalues.is_sorted_by(|a, b| a >= b));
        let at = |cell: usize, j: usize| f64::from(map.components.row(cell)[j]);
        for j in 0..8 {
            for cell in 0..n {
                let (others, weights) = operator.row(cell);
                let image: f64 = others.iter().zip(weights).map(|(&o, w)| w * at(o as usize, j)).sum();
                assert!((image - map.eigenvalues[j] * at(cell, j)).abs() < 1e-6, "component {j}, cell {cell}");
            }
            let product = |i: usize| (0..n).map(|cell| at(cell, i) * at(cell, j)).sum::<f64>();
            assert!((0..=j).all(|i| (product(i) - f64::from(u8::from(i == j))).abs() < 1e-5));
        }
    }

    #[test]
    fn pseudotime_rises_along_a_ladder_and_is_infinite_off_it() {
        let graph = ladder(90, 20);
        let map = diffusion_map(&graph, 10).unwrap();
        let time = map.pseudotime(&graph, 0, 10).unwrap();
        // eigenvectors of T weight cells by the square root of their degree, so the two ends are slightly distorted
        assert!(time[3..66].is_sorted() && time[0] == 0.0 && time[65] > 0.9, "{time:?}");
        assert!(time[70..].iter().all(|t| t.is_infinite()));
        assert_eq!(diffusion_map(&ladder(90, 0), 10).unwrap().outermost(&[40, 3, 0, 5], 10), Some(0));
    }

    #[test]
    fn a_graph_in_many_pieces_has_a_map_too() {
        // four separate ladders, two of them identical
        let lengths = [150_u32, 150, 170, 210];
        let mut rows: Vec<Vec<(u32, f32)>> = Vec::new();
        for length in lengths {
            let first = u32::try_from(rows.len()).unwrap();
            let piece = ladder(length, 0);
            rows.extend((0..length as usize).map(|cell| {
                let (others, weights) = piece.row(cell);
                others.iter().zip(weights).map(|(o, w)| (o + first, *w)).collect()
            }));
        }
        let graph = Csr::from_rows(680, rows).unwrap();
        let map = diffusion_map(&graph, 15).unwrap();
        assert!(map.eigenvalues[3] > 1.0 - 1e-9 && map.eigenvalues[4] < 1.0 - 1e-6, "{:?}", map.eigenvalues);
        let time = map.pseudotime(&graph, 0, 10).unwrap();
        assert!(time[..150].iter().all(|t| t.is_finite()) && time[150..].iter().all(|t| t.is_infinite()));
    }

    #[test]
    fn a_root_that_reaches_nothing_is_an_error() {
        let map = diffusion_map(&ladder(21, 0), 5).unwrap();
        let mut rows: Vec<Vec<(u32, f32)>> =
            (0..20_u32).map(|i| vec![((i + 1) % 20, 1.0), ((i + 19) % 20, 1.0)]).collect();
        rows.iter_mut().for_each(|row| row.sort_by_key(|e| e.0));
        rows.push(vec![(20, 1.0)]);
        let graph = Csr::from_rows(21, rows).unwrap();
        let error = map.pseudotime(&graph, 20, 5).unwrap_err();
        assert_eq!(error.to_string(), "root cell 20 reaches no other cell of the graph");
        let error = diffusion_map(&graph, 5).unwrap_err();
        assert_eq!(error.to_string(), "cell 20 has no neighbour in the graph, so nothing diffuses to it");
    }

    #[test]
    fn a_graph_stored_one_way_has_the_map_of_the_one_whose_edges_go_both_ways() {
        for n in [60, 500_u32] {
            let graph = ladder(n, 0);
            let half = (0..n).map(|i| {
                let (others, weights) = graph.row(i as usize);
                others.iter().copied().zip(weights.iter().copied()).filter(|edge| edge.0 > i).collect()
            });
            let half = Csr::from_rows(n as usize, half.collect::<Vec<_>>()).unwrap();
            assert_eq!(diffusion_map(&half, 6).unwrap(), diffusion_map(&graph, 6).unwrap(), "{n} cells");
        }
    }

    #[test]
    fn weights_that_are_not_finite_are_errors_and_no_panic() {
        for n in [60, 500_u32] {
            for bad in [f32::NAN, f32::INFINITY, -1.0] {
                let graph = ladder(n, 0);
                let mut values = graph.values().to_vec();
                values[7] = bad;
                let error = diffusion_map(&Csr::over(graph.pattern().clone(), values), 6).unwrap_err();
                assert!(matches!(error, DiffusionError::Graph(GraphError::Weight { .. })), "{error}");
            }
        }
    }
}
