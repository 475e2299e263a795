//! The potential, its drift and the gradients of both, for a block of rows side by side.
//!
//! With c = σ(g), t_l = tanh a_l, and the reverse sweep s_L = t_L, s_{l−1} = t_{l−1} ⊙ W_lᵀ s_l, the drift is −c W_1ᵀ
//! s_1. For a cotangent κ, κ · drift is −c V̇, where V̇ is the directional derivative of the ungated potential along κ.
//! So the vector–Jacobian product of the drift is the gradient of −c V̇: one forward sweep with tangents, ȧ_l = W_l
//! ḣ_{l−1}, ḣ_l = t_l ⊙ ȧ_l, and one reverse sweep. Below, "by x" stands for the gradient with respect to x:
//!
//! ```text
//! by ȧ_L: −c t_L                  by a_L: −c (1 − t_L²) ȧ_L
//! by ȧ_l: t_l ⊙ p                 by a_l: t_l ⊙ q + (1 − t_l²) ⊙ ȧ_l ⊙ p        p = Wᵀ by ȧ_{l+1},  q = Wᵀ by a_{l+1}
//! by W_l: (by ȧ_l) ḣ_{l−1}ᵀ + (by a_l) h_{l−1}ᵀ       by b_l: by a_l       by g: −σ'(g) V̇
//! ```

use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use sclsd_ode::Field;
use sclsd_ode::lanes::{LANES, Lane, from_rows, to_rows};

use crate::lanes::{add_products, map, product, zip};
use crate::simd::arch;
use crate::vector::tanh_and_ln_cosh;

/// Weights of a potential.
#[derive(Debug, Clone)]
pub struct PotentialWeights {
    /// Widths of the layers, from z to V.
    widths: Vec<usize>,
    layers: Vec<PotentialLayer>,
    /// g.
    gate: f32,
}

#[derive(Debug, Clone)]
struct PotentialLayer {
    /// `[out, in]`.
    weight: Vec<f32>,
    /// `[in, out]`.
    transposed: Vec<f32>,
    bias: Vec<f32>,
}

impl PotentialWeights {
    /// `flat` holds the matrix `[out, in]` and the biases of every layer, then the gate.
    #[must_use]
    pub fn new(widths: &[usize], flat: &[f32]) -> Self {
        let mut rest = flat;
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at(n);
            rest = tail;
            head.to_vec()
        };
        let layers = widths
            .windows(2)
            .map(|pair| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let (weight, bias) = (take(inputs * outputs), take(outputs));
                let transposed = (0..inputs).flat_map(|i| (0..outputs).map(move |o| (i, o)));
                let transposed = transposed.map(|(i, o)| weight[o * inputs + i]).collect();
                PotentialLayer { weight, transposed, bias }
            })
            .collect();
        let gate = take(1)[0];
        Self { widths: widths.to_vec(), layers, gate }
    }

    /// σ(g).
    fn opening(&self) -> f32 {
        1.0 / (1.0 + (-self.gate).exp())
    }

    /// Number of units of all layers.
    fn units(&self) -> usize {
        self.widths[1..].iter().sum()
    }

    /// Number of weights: all layers and the gate.
    #[must_use]
    pub fn length(&self) -> usize {
        self.widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum::<usize>() + 1
    }

    /// V of every row.
    #[must_use]
    pub fn values(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.width();
        let block = |rows: &[f32]| {
            let value = self.value(&from_rows(rows, width), &mut self.scratch());
            value[..rows.len() / width].to_vec()
        };
        rows.par_chunks(LANES * width).flat_map_iter(block).collect()
    }

    /// −∇V at every row.
    #[must_use]
    pub fn drifts(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.width();
        let mut out = vec![0.0; rows.len()];
        rows.par_chunks(LANES * width).zip(out.par_chunks_mut(LANES * width)).for_each(|(rows, out)| {
            let mut drift = vec![[0.0; LANES]; width];
            self.drift(&from_rows(rows, width), &mut drift, &mut self.scratch());
            to_rows(&drift, out);
        });
        out
    }

    /// V of a block of rows side by side.
    fn value(&self, z: &[Lane], scratch: &mut PotentialScratch) -> Lane {
        arch().dispatch(Value { field: self, z, scratch })
    }

    #[inline(always)]
    fn sweep<S: Simd>(&self, simd: S, z: &[Lane], scratch: &mut PotentialScratch) {
        let mut first = 0;
        for (depth, layer) in self.layers.iter().enumerate() {
            let (below, above) = scratch.h.split_at_mut(first);
            let input = if depth == 0 { z } else { &below[first - self.widths[depth]..] };
            let n = layer.bias.len();
            product(simd, &layer.weight, &layer.bias, input, &mut above[..n]);
            for (h, t) in above[..n].iter_mut().zip(&mut scratch.t[first..first + n]) {
                for lane in 0..LANES {
                    (t[lane], h[lane]) = tanh_and_ln_cosh(h[lane]);
                }
            }
            first += n;
        }
    }

    #[inline(always)]
    fn drift_here<S: Simd>(&self, simd: S, z: &[Lane], out: &mut [Lane], scratch: &mut PotentialScratch) {
        self.sweep(simd, z, scratch);
        let mut end = self.units();
        let last = self.layers.len() - 1;
        let PotentialScratch { t, p, q, .. } = scratch;
        p[0] = t[end - 1];
        for (depth, layer) in self.layers.iter().enumerate().rev() {
            let (inputs, outputs) = (self.widths[depth], self.widths[depth + 1]);
            if depth < last {
                for (s, t) in p[..outputs].iter_mut().zip(&t[end - outputs..end]) {
                    *s = zip(s, t, |s, t| s * t);
                }
            }
            product(simd, &layer.transposed, &[], &p[..outputs], &mut q[..inputs]);
            std::mem::swap(p, q);
            end -= outputs;
        }
        let c = -self.opening();
        for (out, s) in out.iter_mut().zip(&*p) {
            *out = map(s, |s| c * s);
        }
    }

    #[inline(always)]
    fn drift_vjp_here<S: Simd>(
        &self,
        simd: S,
        z: &[Lane],
        grad: &[Lane],
        grad_z: &mut [Lane],
        sums: &mut GradientAccumulator,
        scratch: &mut PotentialScratch,
    ) {
        self.sweep(simd, z, scratch);
        let last = self.layers.len() - 1;
        let PotentialScratch { t, h, da, dh, p, q, p2, q2 } = scratch;
        let mut first = 0;
        for (depth, layer) in self.layers.iter().enumerate() {
            let n = layer.bias.len();
            let (below, above) = dh.split_at_mut(first);
            let input = if depth == 0 { grad } else { &below[first - self.widths[depth]..] };
            product(simd, &layer.weight, &[], input, &mut da[first..first + n]);
            for ((dh, da), t) in above[..n].iter_mut().zip(&da[first..first + n]).zip(&t[first..first + n]) {
                *dh = zip(t, da, |t, da| t * da);
            }
            first += n;
        }
        let (c, end) = (self.opening(), first);
        let along = &dh[end - 1]; // V̇
        sums.gate = zip(&sums.gate, along, |sum, along| sum - c * (1.0 - c) * along);
        // p and q: gradients with respect to ȧ and a of the current layer
        p[0] = map(&t[end - 1], |t| -c * t);
        q[0] = zip(&t[end - 1], &da[end - 1], |t, da| -c * (1.0 - t * t) * da);
        let mut end = end;
        let mut slot = sums.layers.len();
        for (depth, layer) in self.layers.iter().enumerate().rev() {
            let (inputs, outputs) = (self.widths[depth], self.widths[depth + 1]);
            let first = end - outputs;
            if depth < last {
                for o in 0..outputs {
                    let (t, da) = (&t[first + o], &da[first + o]);
                    let (grad_da, grad_a) = (p[o], q[o]);
                    for lane in 0..LANES {
                        let derivative = 1.0 - t[lane] * t[lane];
                        p[o][lane] = t[lane] * grad_da[lane];
                        q[o][lane] = t[lane] * grad_a[lane] + derivative * da[lane] * grad_da[lane];
                    }
                }
            }
            let (x, dx) = match depth {
                0 => (z, grad),
                _ => (&h[first - inputs..first], &dh[first - inputs..first]),
            };
            slot -= outputs * (inputs + 1);
            let (weights, biases) = sums.layers[slot..slot + outputs * (inputs + 1)].split_at_mut(outputs * inputs);
            for o in 0..outputs {
                add_products(simd, &mut weights[o * inputs..(o + 1) * inputs], &p[o], dx, &q[o], x);
                biases[o] = zip(&biases[o], &q[o], |sum, q| sum + q);
            }
            product(simd, &layer.transposed, &[], &p[..outputs], &mut p2[..inputs]);
            product(simd, &layer.transposed, &[], &q[..outputs], &mut q2[..inputs]);
            std::mem::swap(p, p2);
            std::mem::swap(q, q2);
            end = first;
        }
        grad_z.copy_from_slice(&q[..z.len()]);
    }
}

/// Scratch space of the sweeps.
#[derive(Debug)]
pub struct PotentialScratch {
    /// tanh a of all layers, one after the other.
    t: Vec<Lane>,
    /// ln cosh a.
    h: Vec<Lane>,
    /// ȧ.
    da: Vec<Lane>,
    /// ḣ.
    dh: Vec<Lane>,
    /// Gradients of one layer: as long as the widest layer.
    p: Vec<Lane>,
    q: Vec<Lane>,
    p2: Vec<Lane>,
    q2: Vec<Lane>,
}

/// Gradients with respect to the weights, not yet summed over the lanes.
#[derive(Debug)]
pub struct GradientAccumulator {
    layers: Vec<Lane>,
    gate: Lane,
}

impl Field for PotentialWeights {
    type Scratch = PotentialScratch;
    type Accumulator = GradientAccumulator;

    fn width(&self) -> usize {
        self.widths[0]
    }

    fn scratch(&self) -> PotentialScratch {
        let (all, widest) = (self.units(), self.widths.iter().copied().max().unwrap_or(1));
        let lanes = |n: usize| vec![[0.0; LANES]; n];
        PotentialScratch {
            t: lanes(all),
            h: lanes(all),
            da: lanes(all),
            dh: lanes(all),
            p: lanes(widest),
            q: lanes(widest),
            p2: lanes(widest),
            q2: lanes(widest),
        }
    }

    fn accumulator(&self) -> GradientAccumulator {
        GradientAccumulator { layers: vec![[0.0; LANES]; self.length() - 1], gate: [0.0; LANES] }
    }

    fn total(&self, sums: &GradientAccumulator) -> Vec<f32> {
        sums.layers.iter().chain([&sums.gate]).map(|parts| parts.iter().sum()).collect()
    }

    fn drift(&self, z: &[Lane], out: &mut [Lane], scratch: &mut PotentialScratch) {
        arch().dispatch(Drift { field: self, z, out, scratch });
    }

    fn drift_vjp(
        &self,
        z: &[Lane],
        gradient: &[Lane],
        grad_z: &mut [Lane],
        sums: &mut GradientAccumulator,
        scratch: &mut PotentialScratch,
    ) {
        arch().dispatch(DriftVjp { field: self, z, grad: gradient, grad_z, sums, scratch });
    }
}

struct Value<'a> {
    field: &'a PotentialWeights,
    z: &'a [Lane],
    scratch: &'a mut PotentialScratch,
}

impl WithSimd for Value<'_> {
    type Output = Lane;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Lane {
        self.field.sweep(simd, self.z, self.scratch);
        let c = self.field.opening();
        map(&self.scratch.h[self.field.units() - 1], |h| c * h)
    }
}

struct Drift<'a> {
    field: &'a PotentialWeights,
    z: &'a [Lane],
    out: &'a mut [Lane],
    scratch: &'a mut PotentialScratch,
}

impl WithSimd for Drift<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.field.drift_here(simd, self.z, self.out, self.scratch);
    }
}

struct DriftVjp<'a> {
    field: &'a PotentialWeights,
    z: &'a [Lane],
    grad: &'a [Lane],
    grad_z: &'a mut [Lane],
    sums: &'a mut GradientAccumulator,
    scratch: &'a mut PotentialScratch,
}

impl WithSimd for DriftVjp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.field.drift_vjp_here(simd, self.z, self.grad, self.grad_z, self.sums, self.scratch);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::oracle::{self, assert_close, gradient, wide};

    /// κ · drift by central differences: minus the directional derivative of V along κ.
    fn along(widths: &[usize], flat: &[f64], z: &[f64], direction: &[f64]) -> f64 {
        let h = 1e-3;
        let at = |step: f64| {
            let moved: Vec<f64> = z.iter().zip(direction).map(|(z, d)| z + step * d).collect();
            oracle::potential(widths, flat, &moved)
        };
        -(8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h)
    }

    #[test]
    fn value_drift_and_their_derivatives_are_those_of_the_oracle() {
        for widths in [vec![3, 1], vec![4, 5, 1], vec![2, 33, 8, 1], vec![10, 32, 32, 1]] {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(widths.len() as u64);
            let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
            let n = widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum::<usize>() + 1;
            let (flat, rows, grads) = (draw(n), draw(3 * widths[0]), draw(3 * widths[0]));
            let field = PotentialWeights::new(&widths, &flat);
            let wide_flat = wide(&flat);
            let each: Vec<[Vec<f64>; 2]> = rows
                .chunks_exact(widths[0])
                .zip(grads.chunks_exact(widths[0]))
                .map(|(z, grad)| [wide(z), wide(grad)])
                .collect();
            let values: Vec<f64> = each.iter().map(|[z, _]| oracle::potential(&widths, &wide_flat, z)).collect();
            assert_close(&field.values(&rows), &values, 1e-6, "V");
            let drift = |z: &[f64]| gradient(|z| -oracle::potential(&widths, &wide_flat, z), z);
            let drifts: Vec<f64> = each.iter().flat_map(|[z, _]| drift(z)).collect();
            assert_close(&field.drifts(&rows), &drifts, 2e-6, "drift");

            let (mut grad_z, mut sums) = (vec![[0.0; LANES]; widths[0]], field.accumulator());
            let mut gradient_lanes = from_rows(&grads, widths[0]);
            // lanes without a row contribute nothing to the sums
            gradient_lanes.iter_mut().for_each(|lanes| lanes[3..].fill(0.0));
            field.drift_vjp(
                &from_rows(&rows, widths[0]),
                &gradient_lanes,
                &mut grad_z,
                &mut sums,
                &mut field.scratch(),
            );
            let mut found = vec![0.0; rows.len()];
            to_rows(&grad_z, &mut found);
            let exact: Vec<f64> =
                each.iter().flat_map(|[z, grad]| gradient(|z| along(&widths, &wide_flat, z, grad), z)).collect();
            assert_close(&found, &exact, 1e-5, "by z");
            let exact = gradient(|flat| each.iter().map(|[z, grad]| along(&widths, flat, z, grad)).sum(), &wide_flat);
            assert_close(&field.total(&sums), &exact, 1e-5, "by weights");
        }
    }
}
