//! Stacks as functions that return their vector–Jacobian product.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use super::layer::Sizes;
use super::normalized::{self, BatchMoments, Input, RowWeights};
use super::plain;
use crate::derivative::Derivative;
use crate::expression::Expression;

/// An owned or shared slice of numbers.
pub trait Numbers: Deref<Target = [f32]> + Debug + Send + Sync + 'static {}

impl<N: Deref<Target = [f32]> + Debug + Send + Sync + 'static> Numbers for N {}

/// Runs a stack with batch normalisation on the expression of cells. Returns the output, `cells × out`, the batch
/// moments of every layer, and the gradient with respect to all weights.
#[must_use]
pub fn encode<N: Numbers>(
    weights: Vec<N>,
    sizes: Sizes,
    expression: Arc<Expression>,
    rows: Arc<RowWeights>,
) -> (Vec<f32>, Vec<BatchMoments>, impl Derivative) {
    let (saved, moments) = normalized::forward(&sizes.layers(&weights), Input::Cells(&expression), &rows);
    (saved.out().to_vec(), moments, Encoded { sizes, weights, expression, rows, saved })
}

#[derive(Debug)]
struct Encoded<N> {
    sizes: Sizes,
    weights: Vec<N>,
    expression: Arc<Expression>,
    rows: Arc<RowWeights>,
    saved: normalized::Saved,
}

impl<N: Numbers> Derivative for Encoded<N> {
    fn vjp(&self, grad: Vec<f32>) -> Vec<Vec<f32>> {
        let (layers, input) = (self.sizes.layers(&self.weights), Input::Cells(&self.expression));
        normalized::backward(&self.sizes, &layers, input, &self.rows, &self.saved, grad).1
    }
}

/// Runs a stack without normalisation on `x`, `rows × in`. Returns the output, `rows × out`, and the gradient with
/// respect to `x` and all weights.
pub fn run_plain<N: Numbers>(x: N, weights: Vec<N>, sizes: Sizes) -> (Vec<f32>, impl Derivative + use<N>) {
    let saved = plain::forward(&sizes.layers(&weights), &x);
    (saved.out().to_vec(), Ran { sizes, weights, x, saved })
}

#[derive(Debug)]
struct Ran<N> {
    sizes: Sizes,
    weights: Vec<N>,
    x: N,
    saved: plain::Saved,
}

impl<N: Numbers> Derivative for Ran<N> {
    fn vjp(&self, grad: Vec<f32>) -> Vec<Vec<f32>> {
        let layers = self.sizes.layers(&self.weights);
        let (grad_x, grad_weights) = plain::backward(&self.sizes, &layers, &self.x, &self.saved, grad);
        [grad_x].into_iter().chain(grad_weights).collect()
    }
}

/// Multiplies the expression of cells by a matrix, `outputs × genes`. Returns the product, `cells × outputs`, and the
/// gradient with respect to the matrix.
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
    fn vjp(&self, grad: Vec<f32>) -> Vec<Vec<f32>> {
        vec![self.expression.weight_grad(&grad, self.outputs)]
    }
}
