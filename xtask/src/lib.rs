//! Maintenance tasks of the workspace, as ordinary functions and tests: `cargo xtask tidy`, `cargo xtask imports`,
//! `cargo xtask features`, `cargo xtask bench-reference`.

pub mod bench_reference;
pub mod features;
pub mod imports;
pub mod score_fates;
pub mod tidy;
