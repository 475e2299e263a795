//! A two-dimensional layout of a graph of cells, by UMAP (McInnes, Healy and Melville, 2018, algorithm 5).
//!
//! Cells start at two diffusion components. Each edge acts as often as its weight says: the two cells of the edge
//! attract each other, and each cell is repelled from five cells that it draws at random:
//!
//! ```text
//! attraction  −2ab d^(2(b−1)) / (1 + a d^(2b)) · (y_i − y_j)
//! repulsion    2b / ((0.001 + d²)(1 + a d^(2b))) · (y_i − y_j)
//! ```
//!
//! The parameters a and b correspond to scanpy's `min_dist = 0.5`, `spread = 1`. UMAP processes one edge after another.
//! Here an epoch has [`ROUNDS`]: in each round every eighth cell moves along all its edges while the other cells are
//! fixed. Cells can therefore move on many threads, and the same seed gives the same layout for any number of threads.
//! (The existing crate for UMAP takes random numbers from the system.)

mod power;

use rand::{Rng, RngExt};
use rayon::prelude::*;
use sclsd_data::{CsrView, Matrix, Purpose, random_stream};

use crate::graph::{GraphError, Undirected, check_graph, neighbors_of};
use power::{LANES, power};

/// Parameter a of the curve 1 / (1 + a d^(2b)), fitted to `min_dist = 0.5`, `spread = 1`.
const A: f32 = 0.583_030_02;
/// Parameter b: see [`A`].
const B: f32 = 1.334_167;
/// Number of repelling cells drawn per attraction.
const REPULSIONS: usize = 5;
/// Maximum step along one coordinate.
const LONGEST: f32 = 4.0;
/// Number of rounds per epoch. Cells of one round do not see each other move.
const ROUNDS: usize = 8;
/// Number of cells that draw from one random stream, in order.
const BLOCK: usize = 128;

/// Computes coordinates, `n_cells × 2`, stored as obsm `X_umap`. The graph is made [undirected](Undirected) first.
/// `diffusion` are the components of a [`DiffusionMap`](crate::DiffusionMap) of these cells, the stationary state
/// first.
///
/// # Errors
/// [`GraphError`] if the graph does not have these cells, or a weight is negative or not finite.
pub fn layout<'a>(connectivities: impl Into<CsrView<'a>>, diffusion: &Matrix, seed: u64) -> Result<Matrix, GraphError> {
    let connectivities = connectivities.into();
    let n = diffusion.n_rows();
    check_graph(connectivities, n)?;
    let undirected = Undirected::new(connectivities)?;
    let epochs: u16 = if n <= 10_000 { 500 } else { 200 };
    let mut y = start(diffusion, seed);
    let mut rounds = rounds(undirected.graph(), epochs);
    for epoch in 0..epochs {
        let rate = 1.0 - f32::from(epoch) / f32::from(epochs);
        for round in &mut rounds {
            let moved: Vec<Vec<[f32; 2]>> =
                round.par_iter_mut().map(|block| block.moved(&y, epoch, rate, seed)).collect();
            for (block, moved) in round.iter().zip(moved) {
                block.cells.iter().zip(moved).for_each(|(cell, to)| y[cell.at] = to);
            }
        }
    }
    Ok(Matrix::new(2, y.into_iter().flatten().collect()))
}

/// Cells that move in the same round, one after the other.
struct Block {
    /// Number of the block in the layout.
    number: u64,
    cells: Vec<Moving>,
    edges: Vec<Edge>,
}

struct Moving {
    at: usize,
    /// End index of the cell's edges among those of the block.
    end: usize,
}

struct Edge {
    to: u32,
    /// Epochs between two actions of the edge, and the epoch of the next action.
    period: f32,
    due: f32,
}

/// Assigns every cell with its edges to a round. An edge acts every `strongest / weight` epochs. Edges that never act
/// are dropped.
fn rounds(graph: CsrView<'_>, epochs: u16) -> Vec<Vec<Block>> {
    let strongest = graph.values().iter().copied().fold(0.0_f32, f32::max);
    let period = |weight: f32| strongest / weight;
    let mut number = 0;
    let mut block = |cells: &[usize]| {
        let (mut moving, mut edges) = (Vec::with_capacity(cells.len()), Vec::new());
        for &at in cells {
            let near = neighbors_of(graph, at).map(|(to, weight)| (to, period(weight)));
            edges.extend(near.filter(|edge| edge.1 <= f32::from(epochs)).map(|(to, period)| Edge {
                to,
                period,
                due: period,
            }));
            moving.push(Moving { at, end: edges.len() });
        }
        number += 1;
        Block { number, cells: moving, edges }
    };
    (0..ROUNDS)
        .map(|round| {
            let cells: Vec<usize> = (round..graph.n_rows()).step_by(ROUNDS).collect();
            cells.chunks(BLOCK).map(&mut block).collect()
        })
        .collect()
}

impl Block {
    /// Positions of the block's cells after the edges that are due have acted.
    fn moved(&mut self, y: &[[f32; 2]], epoch: u16, rate: f32, seed: u64) -> Vec<[f32; 2]> {
        let mut rng = random_stream(seed, Purpose::Layout, (u64::from(epoch + 1) << 32) | self.number);
        let epoch = f32::from(epoch);
        let mut first = 0;
        let moved = |cell: &Moving| {
            let mut place = y[cell.at];
            for edge in &mut self.edges[first..cell.end] {
                if edge.due <= epoch {
                    edge.due += edge.period;
                    let others = std::array::from_fn(|_| y[below(y.len(), rng.next_u32())]);
                    step(&mut place, y[edge.to as usize], others, rate);
                }
            }
            first = cell.end;
            place
        };
        self.cells.iter().map(moved).collect()
    }
}

/// Moves a cell towards the other end of an edge and away from the randomly drawn cells.
///
/// An undirected edge is stored in both directions, and in UMAP each direction moves both cells. This cell is therefore
/// attracted twice per turn, which leaves (1 − m)² of the difference, with m the attraction coefficient.
fn step(place: &mut [f32; 2], to: [f32; 2], others: [[f32; 2]; REPULSIONS], rate: f32) {
    let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
    (x[0], y[0]) = (place[0] - to[0], place[1] - to[1]);
    for (i, other) in others.iter().enumerate() {
        (x[i + 1], y[i + 1]) = (place[0] - other[0], place[1] - other[1]);
    }
    let mut d2 = [0.0; LANES];
    for i in 0..LANES {
        d2[i] = x[i] * x[i] + y[i] * y[i];
    }
    let curve = power(d2, B);
    if d2[0] > 0.0 {
        let pull = rate * (2.0 * A * B * curve[0] / d2[0] / (1.0 + A * curve[0])).min(1.0);
        let twice = pull * (2.0 - pull);
        place[0] -= twice * x[0];
        place[1] -= twice * y[0];
    }
    let mut push = [0.0; LANES];
    for i in 0..LANES {
        push[i] = 2.0 * B / ((0.001 + d2[i]) * (1.0 + A * curve[i]));
    }
    for i in 1..=REPULSIONS {
        place[0] += (push[i] * x[i]).clamp(-LONGEST, LONGEST) * rate;
        place[1] += (push[i] * y[i]).clamp(-LONGEST, LONGEST) * rate;
    }
}

/// A number below `n` from 32 random bits, uniform up to a bias of 2⁻³².
fn below(n: usize, bits: u32) -> usize {
    ((u64::from(bits) * n as u64) >> 32) as usize
}

/// Two diffusion components scaled to −10…10, with a little noise so that no two cells coincide. A component that is
/// missing (few cells) or 0 everywhere is replaced by noise.
fn start(diffusion: &Matrix, seed: u64) -> Vec<[f32; 2]> {
    let mut rng = random_stream(seed, Purpose::Layout, 0);
    let n = diffusion.n_rows();
    let largest = |axis: usize| {
        let column = (0..n).filter_map(|cell| diffusion.row(cell).get(axis + 1));
        column.fold(0.0_f32, |a, b| a.max(b.abs()))
    };
    let largest = [largest(0), largest(1)];
    (0..n)
        .map(|cell| {
            [0, 1].map(|axis| {
                let at = diffusion.row(cell).get(axis + 1).map_or(0.0, |v| v / largest[axis].max(f32::MIN_POSITIVE));
                10.0 * at + 1e-3 * (rng.random::<f32>() - 0.5)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use sclsd_data::Csr;

    use super::*;
    use crate::diffusion_map;

    #[test]
    fn neighbours_lie_nearer_than_others_and_the_seed_fixes_the_picture() {
        let n = 80_u32;
        let rows = (0..n).map(|i| {
            let near = |j: &u32| *j != i && i.abs_diff(*j) <= 3;
            (0..n).filter(near).map(|j| (j, 1.0 / f32::from(u8::try_from(i.abs_diff(j)).unwrap()))).collect()
        });
        let graph = Csr::from_rows(80, rows.collect::<Vec<_>>()).unwrap();
        let map = diffusion_map(&graph, 5).unwrap();
        let y = layout(&graph, &map.components, 0).unwrap();
        let distance = |a: usize, b: usize| (y.row(a)[0] - y.row(b)[0]).hypot(y.row(a)[1] - y.row(b)[1]);
        let near: f32 = (0..79).map(|i| distance(i, i + 1)).sum::<f32>() / 79.0;
        let far: f32 = (0..40).map(|i| distance(i, i + 40)).sum::<f32>() / 40.0;
        assert!(far > 5.0 * near, "{near} {far}");
        assert_eq!(y, layout(&graph, &map.components, 0).unwrap());
        assert_ne!(y, layout(&graph, &map.components, 1).unwrap());
    }

    /// Cells on a ring, each connected to its six nearest cells.
    fn ring(n: u32) -> Csr {
        let rows = (0..n).map(|i| {
            let mut row: Vec<(u32, f32)> = [1, 2, 3, n - 3, n - 2, n - 1]
                .into_iter()
                .map(|step| ((i + step) % n, 1.0 / f32::from(u8::try_from(step.min(n - step)).unwrap())))
                .collect();
            row.sort_by_key(|edge| edge.0);
            row
        });
        Csr::from_rows(n as usize, rows.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn one_thread_and_three_give_the_same_picture() {
        let graph = ring(3000);
        let components = diffusion_map(&graph, 5).unwrap().components;
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| layout(&graph, &components, 7).unwrap())
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn a_component_that_is_nought_or_absent_leaves_every_place_finite() {
        let graph = ring(12);
        for components in [Matrix::new(1, vec![1.0; 12]), Matrix::new(3, vec![0.0; 36])] {
            let y = layout(&graph, &components, 0).unwrap();
            assert!(y.values().iter().all(|v| v.is_finite()), "{y:?}");
        }
    }
}
