//! Chores of the workspace, as ordinary functions and tests: `cargo xtask tidy`, `cargo xtask bench-reference`.

pub mod bench_reference;
pub mod tidy;
