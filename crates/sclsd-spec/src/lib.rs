//! What all specifications share: range checks whose errors name the field, its value and the expectation, and choices
//! among named values with the same names everywhere.
//!
//! ```
//! use sclsd_spec::{OutOfRange, in_range};
//!
//! let path_len = 1;
//! let error = in_range("walks.path_len", path_len, path_len >= 2, "at least 2 cells").unwrap_err();
//! assert_eq!(error.to_string(), "walks.path_len is 1, expected at least 2 cells");
//! assert_eq!(error.field, "walks.path_len");
//! ```

mod choice;
mod out_of_range;
mod shard;
mod wrong_size;

pub use choice::{Choice, UnknownName};
pub use out_of_range::{OutOfRange, in_range};
pub use shard::Shard;
pub use wrong_size::WrongSize;
