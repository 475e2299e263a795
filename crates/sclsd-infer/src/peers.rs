//! Communication between peers that train one model together: as threads of one process, or over the network.
//!
//! In both cases sums are accumulated in order of rank, and every peer gets the same bits. `docs/backends.md` explains
//! why the crate `burn-collective` is not used.

mod agree;
mod network;
mod threads;

pub(crate) use agree::agree;
pub use network::Network;
pub use threads::threads;
