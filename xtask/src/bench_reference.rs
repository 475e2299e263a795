//! Benchmarks this program against the Python package on the same machine with the same file, settings and threads. The
//! two run alternately several times, and the ratio of every figure is the median of the ratios of the pairs.
//!
//! The Python package is timed by a script, which is given by its path and prints one JSON object. This program is
//! timed by `stages` of the benchmarks, which prints the same names.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

/// Configuration of a comparison.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Python interpreter with the Python package.
    pub python: PathBuf,
    /// Timing script of the Python package.
    pub script: PathBuf,
    /// Number of runs of each program.
    pub pairs: usize,
    /// Number of threads of each program.
    pub threads: usize,
    /// SIMD level of both programs: `avx2` or `avx512`. Default: the best on this machine.
    pub simd: Option<String>,
    /// Run only the cases whose names contain this text.
    pub only: Option<String>,
    /// Prepared files, each with `=COLUMN` if the prior time is not `dpt_pseudotime`.
    pub files: Vec<String>,
}

/// A run, and the figures it reports, each with its name in the JSON and in the table.
struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    figures: &'static [(&'static [&'static str], &'static str)],
    /// Preset of this program, if the case times the program as a process, from start to output file.
    preset: Option<&'static str>,
}

const CASES: [Case; 5] = [
    Case {
        name: "walks of 10",
        arguments: &["--epochs=1", "--path-len=10", "--walks=2048", "--stages=prior,walks,train,result,fates,perturb"],
        figures: &[
            (&["step_s"], "training step, 256 walks of 10 (s)"),
            (&["result_s"], "annotate (s)"),
            (&["fates_s"], "fates to time 15 (s)"),
            (&["perturb_s"], "perturb one gene (s)"),
            (&["peak_mib"], "peak memory of all that (MiB)"),
        ],
        preset: None,
    },
    Case {
        name: "walks of 50",
        arguments: &["--epochs=1", "--path-len=50", "--walks=1024", "--stages=prior,walks,train"],
        figures: &[
            (&["step_s"], "training step, 256 walks of 50 (s)"),
            (&["peak_mib"], "peak memory, 256 walks of 50 (MiB)"),
        ],
        preset: None,
    },
    Case {
        name: "prior and walks",
        arguments: &["--path-len=50", "--walks=4096", "--stages=prior,walks"],
        figures: &[(&["prior_s", "walks_s"], "prior and 4,096 walks of 50 (s)")],
        preset: None,
    },
    Case {
        name: "whole train, reference preset",
        arguments: &["--epochs=5", "--path-len=10", "--walks=4096", "--stages=prior,walks,train,result"],
        figures: &[(&["wall_s"], "train for 5 epochs, whole program, the same settings (s)")],
        preset: Some("reference"),
    },
    Case {
        name: "whole train, recommended preset",
        arguments: &["--epochs=5", "--path-len=10", "--walks=4096", "--stages=prior,walks,train,result"],
        figures: &[(&["wall_s"], "train for 5 epochs, whole program, recommended preset (s)")],
        preset: Some("recommended"),
    },
];

/// Runs all cases and returns the table in Markdown.
///
/// # Errors
/// A sentence that names the program that failed, with its message.
pub fn run(plan: &Plan) -> Result<String, String> {
    let programs = build()?;
    let scratch = programs.join("bench-reference");
    std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let mut table = String::from("| file | work | reference | ours | ratio |\n| --- | --- | --- | --- | --- |\n");
    for file in &plan.files {
        let (file, time) = file.split_once('=').unwrap_or((file, "dpt_pseudotime"));
        for case in CASES.iter().filter(|case| plan.only.as_ref().is_none_or(|only| case.name.contains(only))) {
            let mut pairs = Vec::new();
            for _ in 0..plan.pairs.max(1) {
                let reference = reference(plan, case, file, time, &scratch)?;
                pairs.push((reference, ours(plan, case, file, time, &programs, &scratch)?));
            }
            for (keys, name) in case.figures {
                let shown = Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy());
                line(&mut table, &shown, name, &figures(&pairs, keys)?);
            }
        }
    }
    Ok(table)
}

/// Builds the programs and returns their directory.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(&cargo).args(["build", "--release", "--workspace", "--bins", "--quiet"]).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => return Err("the release build failed".into()),
        Err(error) => return Err(format!("{} cannot be run: {error}", cargo.display())),
    }
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().map_err(|error| error.to_string())?;
    Ok(metadata.target_directory.join("release").into())
}

fn reference(plan: &Plan, case: &Case, file: &str, time: &str, scratch: &Path) -> Result<Value, String> {
    let mut command = Command::new(&plan.python);
    command.arg(&plan.script).arg(file).args(case.arguments).arg(format!("--time-key={time}"));
    command.arg(format!("--threads={}", plan.threads));
    if let Some(simd) = &plan.simd {
        // of ATen, of MKL on Intel CPUs, and of oneDNN
        command.env("ATEN_CPU_CAPABILITY", simd).env("MKL_ENABLE_INSTRUCTIONS", simd.to_uppercase());
        let isa = if simd == "avx512" { "AVX512_CORE" } else { "AVX2" };
        command.env("ONEDNN_MAX_CPU_ISA", isa);
    }
    if case.preset.is_some() {
        command.arg("--out").arg(scratch.join("reference.h5ad"));
    }
    timed(&mut command)
}

fn ours(plan: &Plan, case: &Case, file: &str, time: &str, programs: &Path, scratch: &Path) -> Result<Value, String> {
    let threads = format!("--threads={}", plan.threads);
    let time = format!("--time-key={time}");
    let simd = plan.simd.as_ref().map(|simd| format!("--simd={simd}"));
    if let Some(preset) = case.preset {
        let mut command = Command::new(programs.join("sclsd"));
        command.args(["train", file, "--preset", preset, "--epochs=5", "--json"]).args(simd);
        command.args(["--set=walks.path_len=10", "--set=walks.num_walks=4096"]);
        command.arg("-o").arg(scratch.join("ours.h5ad")).arg("--model").arg(scratch.join("ours.safetensors"));
        return timed(command.args([time, threads]));
    }
    timed(Command::new(programs.join("stages")).arg(file).args(case.arguments).args([time, threads]).args(simd))
}

/// Runs a program whose last output is a JSON object, and adds the elapsed time.
fn timed(command: &mut Command) -> Result<Value, String> {
    let name = command.get_program().display().to_string();
    let began = Instant::now();
    let output = command.output().map_err(|error| format!("{name} cannot be run: {error}"))?;
    let wall = began.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let object = text.find('{').map(|at| &text[at..]).unwrap_or_default();
    let mut value: Value = serde_json::from_str(object).map_err(|error| format!("{name} printed no JSON: {error}"))?;
    value["wall_s"] = json!(wall);
    Ok(value)
}

/// Sum of some figures, for every pair of runs.
fn figures(pairs: &[(Value, Value)], keys: &[&str]) -> Result<Vec<(f64, f64)>, String> {
    let sum = |value: &Value| -> Result<f64, String> {
        keys.iter().map(|key| value[*key].as_f64().ok_or_else(|| format!("{key} is missing in {value}"))).sum()
    };
    pairs.iter().map(|(reference, ours)| Ok((sum(reference)?, sum(ours)?))).collect()
}

fn line(table: &mut String, file: &str, name: &str, pairs: &[(f64, f64)]) {
    let of = |f: fn(&(f64, f64)) -> f64| median(pairs.iter().map(f).collect());
    let (reference, ours, ratio) = (of(|p| p.0), of(|p| p.1), of(|p| p.0 / p.1));
    let _ = writeln!(table, "| {file} | {name} | {reference:.4} | {ours:.4} | {ratio:.1} |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n.is_multiple_of(2) { f64::midpoint(values[n / 2 - 1], values[n / 2]) } else { values[n / 2] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_pairs() {
        let pair = |a: f64, b: f64| (json!({"x_s": a, "y_s": 1.0}), json!({"x_s": b, "y_s": 0.0}));
        let pairs = [pair(9.0, 1.0), pair(1.0, 1.0), pair(5.0, 2.0)];
        let figures = figures(&pairs, &["x_s", "y_s"]).unwrap();
        assert_eq!(figures, [(10.0, 1.0), (2.0, 1.0), (6.0, 2.0)]);
        let mut table = String::new();
        line(&mut table, "f", "w", &figures);
        assert_eq!(table, "| f | w | 6.0000 | 1.0000 | 3.0 |\n");
        assert!(super::figures(&pairs, &["z_s"]).unwrap_err().starts_with("z_s is missing"));
    }
}
