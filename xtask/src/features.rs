//! Checks that every subset of the backend features builds.

use std::process::Command;

/// The backends: features of `sclsd` and `sclsd-cli`.
const BACKENDS: [&str; 4] = ["flex", "ndarray", "cuda", "wgpu"];

/// Checks the library and the program with every subset of backends, including none. With `each`: only each alone, all
/// and none.
///
/// # Errors
/// The first subset that does not build, with the compiler's message.
pub fn run(each: bool) -> Result<String, String> {
    let all = 1_u32 << BACKENDS.len();
    let chosen = |bits: &u32| !each || bits.count_ones() < 2 || bits + 1 == all;
    let subset = |bits: u32| {
        let chosen = (0..).zip(BACKENDS).filter(|(i, _)| bits >> i & 1 == 1).map(|(_, name)| name);
        chosen.collect::<Vec<_>>().join(",")
    };
    let subsets: Vec<String> = (0..all).filter(chosen).map(subset).collect();
    for features in &subsets {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(&cargo)
            .args(["check", "--quiet", "--profile", "quick", "-p", "sclsd", "-p", "sclsd-cli"])
            .args(["--no-default-features", "--features", features])
            .env("RUSTFLAGS", "-D warnings")
            .output()
            .map_err(|error| format!("{} cannot be run: {error}", cargo.display()))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(format!("features \"{features}\" do not build:\n{message}"));
        }
    }
    Ok(format!("{} of {all} subsets of {} checked: all build", subsets.len(), BACKENDS.join(", ")))
}
