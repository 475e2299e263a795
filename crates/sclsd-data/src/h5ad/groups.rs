//! Objects as they lie in a file: what the HDF5 library does not add to is opened up, soft links are made hard ones,
//! and layouts that it does not know ones that it does.
//!
//! Source: HDF5 File Format Specification 3.0, sections III.A.2, III.B to III.G, IV.A.1, IV.A.2.

mod header;
mod heap;
mod layout;
mod links;
mod open_up;
mod soft_links;

pub(super) use layout::layouts_as_version_4;
pub(super) use open_up::open_up;
pub(super) use soft_links::{harden, links_elsewhere};
