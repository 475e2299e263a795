//! Local quadratic regression (loess; Cleveland, Devlin and Grosse, 1988).
//!
//! At every point x₀ a parabola is fitted to the nearest fraction `span` of the points, with weights (1 − (|x − x₀| /
//! d)³)³, where d is the distance of the furthest of these points. The result is the value of the parabola at x₀. A fit
//! is computed at every point, whereas R and scikit-misc interpolate between fits at a few points.

use rayon::prelude::*;

/// Fitted value at every `x`.
///
/// # Panics
/// If `x` and `y` differ in length.
pub(crate) fn loess(x: &[f64], y: &[f64], span: f64) -> Vec<f64> {
    assert_eq!(x.len(), y.len(), "two values per point");
    let n = x.len();
    if n < 4 {
        return y.to_vec();
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the points"
    )]
    let reach = ((n as f64 * span + 1e-5) as usize).clamp(4, n);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
    let sorted: Vec<(f64, f64)> = order.iter().map(|&i| (x[i], y[i])).collect();
    let fitted: Vec<f64> = (0..n).into_par_iter().map(|at| fit(&sorted, at, reach)).collect();
    let mut out = vec![0.0; n];
    for (&i, value) in order.iter().zip(fitted) {
        out[i] = value;
    }
    out
}

/// The value of the parabola fitted around point `at` to the `reach` nearest points.
fn fit(points: &[(f64, f64)], at: usize, reach: usize) -> f64 {
    let center = points[at].0;
    // the window of `reach` consecutive points that are nearest to x₀
    let (mut low, mut high) = (0, points.len() - reach);
    while low < high {
        let middle = usize::midpoint(low, high);
        if center - points[middle].0 > points[middle + reach].0 - center { low = middle + 1 } else { high = middle }
    }
    let window = &points[low..low + reach];
    let furthest = (center - window[0].0).max(window[reach - 1].0 - center) * 1.000_001;
    if furthest <= 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "numbers of points are far below 2^52")]
        let n = reach as f64;
        return window.iter().map(|p| p.1).sum::<f64>() / n;
    }
    // moments of u = (x − x₀) / d under the weights
    let (mut s, mut t) = ([0.0; 5], [0.0; 3]);
    for &(x, y) in window {
        let u = (x - center) / furthest;
        let weight = (1.0 - u.abs().powi(3)).powi(3);
        let mut power = weight;
        for (k, sum) in s.iter_mut().enumerate() {
            *sum += power;
            if k < 3 {
                t[k] += power * y;
            }
            power *= u;
        }
    }
    // the constant term of the parabola, by Cramer's rule
    let determinant = |a: [f64; 3], b: [f64; 3], c: [f64; 3]| {
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    };
    let whole = determinant([s[0], s[1], s[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]);
    if whole.abs() < 1e-12 * s[0].powi(3) {
        return t[0] / s[0]; // all points at one or two places
    }
    determinant([t[0], s[1], s[2]], [t[1], s[2], s[3]], [t[2], s[3], s[4]]) / whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_fitted_exactly() {
        let x: Vec<f64> = (0..40).map(|i| f64::from(i * i) * 0.01).collect();
        let y: Vec<f64> = x.iter().map(|x| 2.0 - 3.0 * x + 0.25 * x * x).collect();
        for (found, expected) in loess(&x, &y, 0.3).iter().zip(&y) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }
}
