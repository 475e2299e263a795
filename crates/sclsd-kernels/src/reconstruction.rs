//! ln p(x | z, xl) of a batch with its gradients, computed together with the decoder's last layer.
//!
//! For every visit, with h the last hidden layer, W and b the last layer (its batch normalisation folded in), l = ln
//! xl:
//!
//! ```text
//! (γ, m) = W h + b            gate logits and rate logits, G genes each
//! r = exp(l) softmax(m),   u = (r + ε) / (θ + ε)
//! ln NB(x) = x ln u − (x + θ) ln(1 + u) + ln Γ(x + θ) − ln Γ(θ) − ln Γ(x + 1)
//! ln p(0)  = ln σ(γ) + ln(1 + exp(ln NB(0) − γ)),   ln p(x) = ln σ(−γ) + ln NB(x)   for x > 0
//! ```
//!
//! A block of visits goes through the product, the likelihood and the backward pass to h while it is in the cache.
//! After a few blocks, their gradients with respect to the logits are turned into gradients with respect to the
//! weights. No `visits × genes` matrix of the batch is ever stored. The gradients of the sum over visits and genes are
//! returned with the sum.

mod decoder;
mod fold;
mod genes;
mod likelihood;
mod sum;

pub use decoder::{Decoder, reconstruct};
pub use genes::EPSILON;
pub use sum::{Inputs, Value, log_likelihood};
