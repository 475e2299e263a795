//! Scores the fates of simulated cells by every method against the truth, for several seeds.
//!
//! For each topology and seed: simulate, prepare, train with the recommended preset, compute fates by every method, and
//! evaluate. The scores of a data set are one line of a JSON table, so an interrupted run continues where it stopped.
//! Use one folder per version of the program, because existing rows are not recomputed. Settings were chosen on seeds 0
//! to 9; scores are reported for seeds 10 to 29.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{OpenOptions, create_dir_all, read_to_string};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Topologies with several fates.
const TOPOLOGIES: [&str; 4] = ["bifurcation", "trifurcation", "tree", "unequal-tree"];
/// Methods that need a model, with their options. The default is last: CellRank's script compares with its file.
const METHODS: [(&str, &[&str]); 5] = [
    ("sde", &["--method", "sde"]),
    ("flow", &["--method", "flow"]),
    ("drift", &["--method", "drift"]),
    ("model alone", &["--method", "transitions", "--prior-weight", "0"]),
    ("transitions", &["--method", "transitions"]),
];
/// Baselines that `evaluate` reports in addition to the method.
const BASELINES: [&str; 2] = ["prior", "neighbors"];
/// Scores of a method, with their names in `sclsd evaluate`.
const SCORES: [&str; 4] = ["accuracy", "mean_squared_error", "brier", "calibration_error"];
const CELLS: &str = "800";
const GENES: &str = "200";

/// Configuration of a scoring run.
#[derive(Debug)]
pub struct Plan {
    /// Path of the sclsd program.
    pub program: PathBuf,
    /// Folder of the data sets and the table.
    pub out: PathBuf,
    /// Range of seeds.
    pub seeds: std::ops::Range<u64>,
    /// A Python interpreter with CellRank, to score CellRank on the same data sets.
    pub python: Option<PathBuf>,
    /// The script that scores CellRank.
    pub script: PathBuf,
}

type Row = BTreeMap<String, f64>;

/// Scores the data sets that have no scores yet, and returns the tables.
///
/// # Errors
/// A sentence that names the command that failed.
pub fn run(plan: &Plan) -> Result<String, String> {
    let sets = plan.out.join("sets");
    create_dir_all(&sets).map_err(|e| format!("{} cannot be made: {e}", sets.display()))?;
    let table = plan.out.join("scores.jsonl");
    let mut done = read(&table);
    for seed in plan.seeds.clone() {
        for topology in TOPOLOGIES {
            let name = format!("{topology}-{seed}");
            if done.contains_key(&name) {
                continue;
            }
            let row = score(plan, &sets, topology, seed)?;
            append(&table, &name, &row)?;
            done.insert(name, row);
        }
    }
    let wanted = |name: &str| {
        name.rsplit_once('-').and_then(|(_, seed)| seed.parse().ok()).is_some_and(|seed| plan.seeds.contains(&seed))
    };
    done.retain(|name, _| wanted(name));
    Ok(tables(&done))
}

fn score(plan: &Plan, sets: &Path, topology: &str, seed: u64) -> Result<Row, String> {
    let seed = seed.to_string();
    let at = |kind: &str| sets.join(format!("{topology}-{seed}{kind}")).display().to_string();
    let (raw, cells, model, result, told) =
        (at(".raw.h5ad"), at(".h5ad"), at(".safetensors"), at(".result.h5ad"), at(".fates.h5ad"));
    let sclsd = |args: &[&str]| command(Command::new(&plan.program).args(args).args(["--json"]));
    sclsd(&["simulate", &raw, "--topology", topology, "--cells", CELLS, "--genes", GENES, "--seed", &seed])?;
    sclsd(&["prepare", &raw, "-o", &cells, "--root-cluster", "Stem", "--seed", &seed])?;
    let trained = sclsd(&["train", &cells, "-o", &result, "--model", &model, "--seed", &seed])?;
    let mut row = Row::new();
    row.extend(number(&trained, "seconds").map(|v| ("seconds".to_owned(), v)));
    row.insert("exact leaves".into(), f64::from(u8::from(exact_leaves(&trained, topology))));
    for (method, options) in METHODS {
        sclsd(&[&["fates", &result, "--model", &model, "-o", &told], options].concat())?;
        let scores = sclsd(&["evaluate", &told, "--time-key", "true_time"])?;
        for (key, scores) in scores["fates"].as_object().into_iter().flatten() {
            let key = if BASELINES.contains(&key.as_str()) { key } else { method };
            for name in SCORES {
                row.extend(number(scores, name).map(|v| (format!("{key} {name}"), v)));
            }
            row.extend(kept(scores).map(|v| (format!("{key} kept"), v)));
        }
        for (name, key) in
            [("time", "spearman_with_true_time"), ("time of prior", "spearman_with_true_time_of_the_prior")]
        {
            row.extend(number(&scores, key).map(|v| (name.to_owned(), v)));
        }
    }
    if let Some(python) = &plan.python {
        let found = command(Command::new(python).arg(&plan.script).arg(&told))?;
        for (key, value) in found.as_object().into_iter().flatten() {
            row.extend(value.as_f64().map(|v| (format!("CellRank {key}"), v)));
        }
    }
    Ok(row)
}

/// Whether the terminal states found are exactly the leaves of the simulated tree.
fn exact_leaves(trained: &Value, topology: &str) -> bool {
    let mut found: Vec<&str> =
        trained["terminal_states"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    found.sort_unstable();
    let leaves: &[&str] = match topology {
        "bifurcation" => &["Fate A", "Fate B"],
        "tree" => &["Fate A", "Fate B", "Fate C", "Fate D"],
        _ => &["Fate A", "Fate B", "Fate C"],
    };
    found == leaves
}

/// Fraction of the mature cells outside the terminal sets whose most likely fate is their own state, over all states.
fn kept(scores: &Value) -> Option<f64> {
    let (mut stay, mut all) = (0.0, 0.0);
    for (_, state) in scores["kept"].as_object()? {
        let cells = state["cells"].as_f64()?;
        stay += state["share"].as_f64().unwrap_or(0.0) * cells;
        all += cells;
    }
    (all > 0.0).then_some(stay / all)
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value[key].as_f64()
}

/// Runs a command and parses the JSON that it prints.
fn command(command: &mut Command) -> Result<Value, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|e| format!("{shown} cannot be run: {e}"))?;
    if !output.status.success() {
        return Err(format!("{shown} failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("{shown} printed no JSON: {e}"))
}

fn read(table: &Path) -> BTreeMap<String, Row> {
    let text = read_to_string(table).unwrap_or_default();
    // a truncated last line belongs to a data set that is scored again
    text.lines().filter_map(|line| serde_json::from_str::<(String, Row)>(line).ok()).collect()
}

fn append(table: &Path, name: &str, row: &Row) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{} cannot be written: {e}", table.display());
    let line = serde_json::to_string(&(name, row)).map_err(|e| e.to_string())?;
    let mut file = OpenOptions::new().create(true).append(true).open(table).map_err(failed)?;
    writeln!(file, "{line}").map_err(failed)
}

/// Mean and standard deviation of every score, with one table per topology.
fn tables(done: &BTreeMap<String, Row>) -> String {
    let mut text = String::new();
    for topology in TOPOLOGIES.into_iter().map(Some).chain([None]) {
        let rows: Vec<&Row> = done
            .iter()
            .filter(|(name, _)| topology.is_none_or(|t| name.rsplit_once('-').is_some_and(|(of, _)| of == t)))
            .map(|(_, row)| row)
            .collect();
        let _ = writeln!(text, "\n{} ({} sets)\n", topology.unwrap_or("all"), rows.len());
        let mut keys: Vec<&String> = rows.iter().flat_map(|row| row.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let values: Vec<f64> = rows.iter().filter_map(|row| row.get(key).copied()).collect();
            #[expect(clippy::cast_precision_loss, reason = "a few dozen sets")]
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt();
            let _ = writeln!(text, "{key:<36} {mean:.4} ± {sd:.4}");
        }
    }
    text
}
