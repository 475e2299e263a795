//! Chores of the workspace, as ordinary functions and tests: `cargo xtask tidy`.

pub mod tidy;
