//! The sum over visits and genes with its derivatives, block by block of visits.

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use crate::expression::SparseRows;
use crate::products::{self, Packed, Rows, Summand, Terms};
use crate::rows::{BLOCK, add, blocks, groups, made};
use super::genes::{Genes, padded};
use super::likelihood::{Likelihood, Room, Sums, Visit, padded_bias};

/// What the likelihood depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// h, `visits × width`.
    pub hidden: &'a [f32],
    /// W, `2 genes × width`.
    pub weight: &'a [f32],
    /// b, `2 genes`.
    pub bias: &'a [f32],
    /// ln xl, `visits`.
    pub log_library: &'a [f32],
    /// ln θ, `genes`.
    pub log_theta: &'a [f32],
}

/// The sum over visits and genes, and its derivative with respect to every input.
#[derive(Debug, Clone)]
pub struct Value {
    /// Σ ln p.
    pub log_likelihood: f64,
    /// By h, `visits × width`.
    pub hidden: Vec<f32>,
    /// By W, `2 genes × width`.
    pub weight: Vec<f32>,
    /// By b, `2 genes`.
    pub bias: Vec<f32>,
    /// By ln xl, `visits`.
    pub log_library: Vec<f32>,
    /// By ln θ, `genes`.
    pub log_theta: Vec<f32>,
}

/// Visits whose derivatives by the logits are kept until those by the weights are made of them: what there is room for in the
/// caches.
const CHUNK: usize = 512;

/// Evaluates it.
pub fn evaluate(inputs: Inputs<'_>, counts: SparseRows<'_>) -> Value {
    let visits = inputs.log_library.len();
    let genes = inputs.log_theta.len();
    let width = inputs.hidden.len() / visits.max(1);
    let decoder = Decoder::new(&inputs, width);
    let (places, stride) = (padded(genes), decoder.stride);
    let mut value = Value {
        log_likelihood: 0.0,
        hidden: made(visits, width, BLOCK, |_, _| {}),
        weight: made(2 * genes, width, BLOCK, |_, _| {}),
        bias: vec![0.0; 2 * genes],
        log_library: vec![0.0; visits],
        log_theta: vec![0.0; genes],
    };
    choose(&decoder.genes, counts, &mut value);
    let mut logits = made(CHUNK.min(visits), stride, BLOCK, |_, _| {});
    for first in (0..visits).step_by(CHUNK) {
        let chunk = first..visits.min(first + CHUNK);
        let logits = &mut logits[..chunk.len() * stride];
        let hidden = &mut value.hidden[chunk.start * width..chunk.end * width];
        let library = &mut value.log_library[chunk.clone()];
        let blocks: Vec<_> = blocks(chunk.clone()).collect();
        let size = blocks[0].len();
        let made: Vec<Made> = logits
            .par_chunks_mut(size * stride)
            .zip(hidden.par_chunks_mut(size * width))
            .zip(library.par_chunks_mut(size))
            .zip(blocks.into_par_iter())
            .map(|(((logits, hidden), library), visits)| decoder.block(counts, visits, logits, hidden, library))
            .collect();
        for Made { sums, .. } in &made {
            value.log_likelihood += sums.log_likelihood;
            for (bias, sums) in value.bias.chunks_mut(genes.max(1)).zip(sums.bias.chunks(places.max(1))) {
                add(bias, sums);
            }
            add(&mut value.log_theta, &sums.theta);
        }
        let (gates, rates) = value.weight.split_at_mut(genes * width);
        let pairs = |half: usize| made.iter().map(|made| [&made.slopes[half], &made.hidden]).collect::<Vec<_>>();
        rayon::join(|| products::add_sums(gates, &pairs(0)), || products::add_sums(rates, &pairs(1)));
    }
    value.log_theta.iter_mut().zip(&decoder.genes.theta).for_each(|(d, theta)| *d *= theta);
    value
}

/// Adds what Γ functions add, once for every distinct cell, by how often it is visited; the derivative by θ, not by its
/// logarithm.
fn choose(genes: &Genes, counts: SparseRows<'_>, value: &mut Value) {
    let mut visits: Vec<usize> = (0..counts.rows.len()).collect();
    visits.sort_unstable_by_key(|&visit| counts.rows[visit]);
    let cells: Vec<&[usize]> = visits.chunk_by(|&a, &b| counts.rows[a] == counts.rows[b]).collect();
    let of_cells = |group: Range<usize>| {
        let (mut sum, mut by_theta) = (0.0, vec![0.0; genes.count]);
        for visits in &cells[group] {
            let (columns, values) = counts.row(visits[0]);
            #[expect(clippy::cast_precision_loss, reason = "visits of a batch are far below 2^24")]
            let often = visits.len() as f32;
            for (&gene, &x) in columns.iter().zip(values).filter(|(_, x)| **x > 0.0) {
                let (log, slope) = genes.choose(gene as usize, x);
                sum += f64::from(often) * f64::from(log);
                by_theta[gene as usize] += often * slope;
            }
        }
        (sum, by_theta)
    };
    let parts: Vec<(f64, Vec<f32>)> = groups(cells.len()).into_par_iter().map(of_cells).collect();
    for (sum, by_theta) in &parts {
        value.log_likelihood += sum;
        add(&mut value.log_theta, by_theta);
    }
}

/// What all visits have in common.
struct Decoder<'a> {
    hidden: Rows<'a>,
    /// Numbers in a row of logits: gates, rates, and so many more that rows do not all fall on the same places of the cache.
    stride: usize,
    /// Of gates and of rates, for the way forward.
    forward: [Packed; 2],
    /// And for the way back.
    back: [Packed; 2],
    bias: Vec<f32>,
    log_library: &'a [f32],
    genes: Genes,
}

impl<'a> Decoder<'a> {
    fn new(inputs: &Inputs<'a>, width: usize) -> Self {
        /// Numbers in a line of the cache.
        const LINE: usize = 16;
        let genes = inputs.log_theta.len();
        let (gates, rates) = inputs.weight.split_at(genes * width);
        Self {
            hidden: Rows::new(inputs.hidden, width),
            stride: ((2 * padded(genes) / LINE) | 1) * LINE,
            forward: [gates, rates].map(|weight| Packed::transposed(weight, width, Terms::Three)),
            back: [gates, rates].map(|weight| Packed::new(weight, width, Terms::Two)),
            bias: padded_bias(inputs.bias),
            log_library: inputs.log_library,
            genes: Genes::new(inputs.log_theta),
        }
    }

    /// A block of visits: fills in the derivatives by h and ln xl. In `logits` is room for the logits.
    fn block(
        &self,
        counts: SparseRows<'_>,
        visits: Range<usize>,
        logits: &mut [f32],
        hidden: &mut [f32],
        library: &mut [f32],
    ) -> Made {
        let (width, stride) = (self.hidden.stride, self.stride);
        let places = self.bias.len() / 2;
        let genes = self.genes.count;
        for (half, weight) in self.forward.iter().enumerate() {
            products::times(&mut logits[half * places..], stride, self.hidden.some(visits.clone()), weight);
        }
        let (arch, mut sums, mut room) = (Arch::new(), Sums::new(genes), Room::new(genes));
        for ((visit, logits), slope) in visits.clone().zip(logits.chunks_exact_mut(stride)).zip(library) {
            let log_library = self.log_library[visit];
            let visit = Visit { genes: &self.genes, bias: &self.bias, log_library, counts: counts.row(visit) };
            let logits = &mut logits[..2 * places];
            *slope = arch.dispatch(Likelihood { visit, logits, sums: &mut sums, room: &mut room });
        }
        let slopes = [&*logits, &logits[places..]].map(|values| Rows { values, stride });
        products::times(hidden, width, slopes[0], &self.back[0]);
        products::add_times(hidden, width, slopes[1], &self.back[1]);
        let slopes = slopes.map(|slopes| Summand::first(slopes, genes, Terms::Two));
        Made { sums, slopes, hidden: Summand::second(self.hidden.some(visits), width, Terms::Two) }
    }
}

/// What a block leaves for the sums over all visits.
struct Made {
    sums: Sums,
    /// By gates and by rates.
    slopes: [Summand; 2],
    hidden: Summand,
}
