//! How peers that train one model together reach each other: as threads of one process, or over the network.
//!
//! Either way sums are made in order of rank and everyone gets the same bits. `burn-collective` would be the crate for
//! this; why it is not used is told in `docs/backends.md`.

mod agree;
mod network;
mod threads;

pub(crate) use agree::agree;
pub use network::Network;
pub use threads::threads;
