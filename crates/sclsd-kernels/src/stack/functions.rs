//! Stacks as functions that know their derivatives.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use super::layer::Sizes;
use super::normalized::{self, Input, Moments, RowWeights};
use super::plain;
use crate::derivative::Derivative;
use crate::expression::Expression;

/// Numbers that are held by whoever has them.
pub trait Numbers: Deref<Target = [f32]> + Debug + Send + Sync + 'static {}

impl<N: Deref<Target = [f32]> + Debug + Send + Sync + 'static> Numbers for N {}

/// A normalised stack of the expression of cells: `cells × out`, the moments of every layer, and the derivative by all weights.
#[must_use]
pub fn encode<N: Numbers>(
    weights: Vec<N>,
    sizes: Sizes,
    expression: Arc<Expression>,
    rows: Arc<RowWeights>,
) -> (Vec<f32>, Vec<Moments>, impl Derivative) {
    let (kept, moments) = normalized::forward(&sizes.layers(&weights), Input::Cells(&expression), &rows);
    (kept.out().to_vec(), moments, Encoded { sizes, weights, expression, rows, kept })
}

#[derive(Debug)]
struct Encoded<N> {
    sizes: Sizes,
    weights: Vec<N>,
    expression: Arc<Expression>,
    rows: Arc<RowWeights>,
    kept: normalized::Kept,
}

impl<N: Numbers> Derivative for Encoded<N> {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        let (layers, input) = (self.sizes.layers(&self.weights), Input::Cells(&self.expression));
        normalized::backward(&self.sizes, &layers, input, &self.rows, &self.kept, slope).1
    }
}

/// A stack without normalisation of `x`, `rows × in`: `rows × out`, and the derivative by `x` and all weights.
pub fn run_plain<N: Numbers>(x: N, weights: Vec<N>, sizes: Sizes) -> (Vec<f32>, impl Derivative + use<N>) {
    let kept = plain::forward(&sizes.layers(&weights), &x);
    (kept.out().to_vec(), Ran { sizes, weights, x, kept })
}

#[derive(Debug)]
struct Ran<N> {
    sizes: Sizes,
    weights: Vec<N>,
    x: N,
    kept: plain::Kept,
}

impl<N: Numbers> Derivative for Ran<N> {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        let layers = self.sizes.layers(&self.weights);
        let (by_x, by_weights) = plain::backward(&self.sizes, &layers, &self.x, &self.kept, slope);
        [by_x].into_iter().chain(by_weights).collect()
    }
}

/// The expression of cells times a matrix, `outputs × genes`: `cells × outputs`, and the derivative by the matrix.
#[must_use]
pub fn project(expression: Arc<Expression>, weight: &[f32], outputs: usize) -> (Vec<f32>, impl Derivative + use<>) {
    let out = expression.times_transposed(weight, outputs);
    (out, Projected { expression, outputs })
}

#[derive(Debug)]
struct Projected {
    expression: Arc<Expression>,
    outputs: usize,
}

impl Derivative for Projected {
    fn by_inputs(&self, slope: Vec<f32>) -> Vec<Vec<f32>> {
        vec![self.expression.weight_slope(&slope, self.outputs)]
    }
}
