//! The text of `--version`: the version, the backends of this build, and the SIMD levels of this machine.

use sclsd::Device;
use sclsd::model::SimdLevel;

/// Several lines, as `--version` prints them; `-V` prints the number only.
///
/// The levels are only listed here; the first kernel that runs chooses the level.
pub(super) fn long() -> String {
    let backends: Vec<&str> = Device::compiled().collect();
    let backends = if backends.is_empty() { "none".to_owned() } else { backends.join(", ") };
    let levels = SimdLevel::all();
    let best = levels.last().map_or_else(String::new, ToString::to_string);
    let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
    format!("{}\nbackends: {backends}\nSIMD: {best} (this CPU has {})", env!("CARGO_PKG_VERSION"), levels.join(", "))
}
