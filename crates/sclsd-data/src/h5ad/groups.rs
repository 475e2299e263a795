//! Low-level changes to the objects of an HDF5 file, which let the HDF5 library add to it and read it: groups with
//! links in a heap get a plain list of links, soft links become hard links, and unsupported layout versions become
//! supported ones.
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
