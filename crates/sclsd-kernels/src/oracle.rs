//! Oracles of the kernels in `f64`, written as plainly as possible: for tests only.

/// ε of the rates.
const E: f64 = 1e-3;

/// The gradient of `f` at `x` by central differences, exact to about 1e-9 of the values if `f` is smooth.
#[must_use]
pub fn gradient(f: impl Fn(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    let at = |i: usize, step: f64| {
        let mut moved = x.to_vec();
        moved[i] += step;
        f(&moved)
    };
    let step = |i: usize| 1e-4 * x[i].abs().max(1.0);
    // four points: the error is of fourth order in the step
    let by = |i: usize| {
        let h = step(i);
        (8.0 * (at(i, h) - at(i, -h)) - (at(i, 2.0 * h) - at(i, -2.0 * h))) / (12.0 * h)
    };
    (0..x.len()).map(by).collect()
}

/// Converts to `f64`.
#[must_use]
pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

/// ln(1 + eˣ).
#[must_use]
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x Wᵀ + b`; `x` is `rows × in` and `w` is `out × in`.
#[must_use]
pub fn linear(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let inputs = w.len() / b.len();
    let output =
        |x: &[f64], o: usize| x.iter().zip(&w[o * inputs..(o + 1) * inputs]).map(|(x, w)| x * w).sum::<f64>() + b[o];
    x.chunks_exact(inputs).flat_map(|x| (0..b.len()).map(move |o| output(x, o))).collect()
}

/// (x − mean) / √(var + 1e-5) γ + β, with weighted mean and variance; the weights of the rows sum to one.
#[must_use]
pub fn normalized(x: &[f64], weights: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
    let width = gamma.len();
    let average = |f: &dyn Fn(&[f64], usize) -> f64, j: usize| -> f64 {
        x.chunks_exact(width).zip(weights).map(|(row, w)| w * f(row, j)).sum()
    };
    let mean: Vec<f64> = (0..width).map(|j| average(&|row, j| row[j], j)).collect();
    let variance: Vec<f64> = (0..width).map(|j| average(&|row, j| (row[j] - mean[j]).powi(2), j)).collect();
    let scale = |j: usize| gamma[j] / (variance[j] + 1e-5).sqrt();
    x.chunks_exact(width).flat_map(|row| (0..width).map(|j| (row[j] - mean[j]) * scale(j) + beta[j])).collect()
}

/// V of one state for a network of these widths. `flat` holds the matrix and the biases of every layer, then the gate.
#[must_use]
pub fn potential(widths: &[usize], flat: &[f64], z: &[f64]) -> f64 {
    let (mut rest, mut h) = (flat, z.to_vec());
    for pair in widths.windows(2) {
        let (w, tail) = rest.split_at(pair[0] * pair[1]);
        let (b, tail) = tail.split_at(pair[1]);
        rest = tail;
        h = linear(&h, w, b)
            .into_iter()
            .map(|a: f64| a.abs() + (-2.0 * a.abs()).exp().ln_1p() - std::f64::consts::LN_2)
            .collect();
    }
    sigmoid(rest[0]) * h[0]
}

/// h¹ of every visit of walks of `steps` visits: a recurrent network of two layers of `width`, with its weights in one
/// vector.
#[must_use]
pub fn recurrent(flat: &[f64], projected: &[f64], width: usize, steps: usize) -> Vec<f64> {
    let (square, layer) = (width * width, width * (width + 1));
    let part = |which: usize| {
        (&flat[which * layer..which * layer + square], &flat[which * layer + square..(which + 1) * layer])
    };
    let start = |which: usize| flat[3 * layer + which * width..3 * layer + (which + 1) * width].to_vec();
    let relu = |v: f64| v.max(0.0);
    let mut out = Vec::new();
    for walk in projected.chunks_exact(steps * width) {
        let (mut h0, mut h1) = (start(0), start(1));
        for x in walk.chunks_exact(width) {
            let (w, b) = part(0);
            h0 = linear(&h0, w, b).iter().zip(x).map(|(a, x)| relu(a + x)).collect();
            let (upper, own) = (part(1), part(2));
            let below = linear(&h0, upper.0, upper.1);
            h1 = linear(&h1, own.0, own.1).iter().zip(&below).map(|(a, b)| relu(a + b)).collect();
            out.extend_from_slice(&h1);
        }
    }
    out
}

/// ln p(x) and its derivatives with respect to γ, ln r and ln θ. The last two come with the sum of the magnitudes of
/// their terms.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    /// ln p(x).
    pub value: f64,
    /// Derivative with respect to γ.
    pub grad_gate: f64,
    /// Derivative with respect to ln r.
    pub grad_log_rate: f64,
    /// Sum of the magnitudes of the terms of `grad_log_rate`.
    pub rate_size: f64,
    /// Derivative with respect to ln θ.
    pub grad_log_theta: f64,
    /// Sum of the magnitudes of the terms of `grad_log_theta`.
    pub theta_size: f64,
}

/// The zero-inflated negative binomial. The precision of `f64` suffices for these sums as they stand.
#[must_use]
pub fn zinb(x: u32, theta: f64, rate: f64, gate: f64) -> Count {
    let nb = nb(x, theta, rate);
    let d = nb.value - gate;
    let (share, value, grad_gate) = match x {
        0 => (sigmoid(d), softplus(d) - softplus(-gate), sigmoid(-gate) - sigmoid(d)),
        _ => (1.0, nb.value - softplus(gate), -sigmoid(gate)),
    };
    Count {
        value,
        grad_gate,
        grad_log_rate: share * nb.grad_log_rate,
        rate_size: share * nb.rate_size,
        grad_log_theta: share * nb.grad_log_theta,
        theta_size: share * nb.theta_size,
    }
}

/// The negative binomial.
#[must_use]
pub fn nb(x: u32, theta: f64, rate: f64) -> Count {
    let u = (rate + E) / (theta + E);
    let terms = (0..x).map(f64::from);
    let choose: f64 = terms.clone().map(|k| ((theta + k) / (k + 1.0)).ln()).sum();
    let psi: f64 = terms.map(|k| 1.0 / (theta + k)).sum();
    let count = f64::from(x);
    let w = (count - theta * u) / (1.0 + u);
    Count {
        value: count * u.ln() - (count + theta) * u.ln_1p() + choose,
        grad_gate: 0.0,
        grad_log_rate: w * rate / (rate + E),
        rate_size: (count + theta * u) / (1.0 + u) * rate / (rate + E),
        grad_log_theta: (psi - u.ln_1p() - w / (theta + E)) * theta,
        // for large θ the terms are of order x² / θ², r² / θ² and so on
        theta_size: theta
            * if count < theta {
                u.ln_1p() - u / (1.0 + u)
                    + (count + E) * u / (1.0 + u) / (theta + E)
                    + (psi - count / (theta + E)).abs()
            } else {
                u.ln_1p() + w.abs() / (theta + E) + psi
            },
    }
}

/// Poisson counts with mean r + ε.
#[must_use]
pub fn poisson(x: u32, rate: f64) -> Count {
    let (count, mean) = (f64::from(x), rate + E);
    let ln_factorial: f64 = (1..=x).map(|k| f64::from(k).ln()).sum();
    Count {
        value: count * mean.ln() - mean - ln_factorial,
        grad_gate: 0.0,
        grad_log_rate: (count / mean - 1.0) * rate,
        rate_size: (count / mean + 1.0) * rate,
        grad_log_theta: 0.0,
        theta_size: 0.0,
    }
}

/// Asserts that numbers agree with an oracle, within `allowed` times the oracle's largest magnitude.
#[track_caller]
pub fn assert_close(found: &[f32], exact: &[f64], allowed: f64, what: &str) {
    assert_eq!(found.len(), exact.len(), "{what}");
    let largest = exact.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(exact).enumerate() {
        let within = (f64::from(*a) - b).abs() <= allowed * (largest + 1e-6);
        assert!(within, "{what}[{i}]: {a} instead of {b}, where the largest is {largest}");
    }
}
