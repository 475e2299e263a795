//! `sclsd audit`: whether a result is to be believed, check by check.

mod checks;

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use sclsd::analysis::audit::{Audit, Check, Statement, Verdict};
use sclsd::data::{Categorical, H5ad, Inspection};
use serde_json::{Map, Value, json};

use self::checks::Source;
use super::fate_estimates::{self, FateEstimator};
use super::files::Files;
use super::reading::{hinted, named_apart};
use super::threads::start;
use super::{groups, model_file, record};
use crate::args::{AuditArgs, FATE_BETA};
use crate::escape;
use crate::figures::Figures;
use crate::progress::Output;

/// Exit status where `--strict` was given and the verdict is "do not believe".
pub(crate) const NOT_BELIEVED: u8 = 3;

/// That a result is not to be believed, where that ends the program.
#[derive(Debug)]
pub(crate) struct NotBelieved {
    /// Which statements are not.
    statements: String,
}

impl fmt::Display for NotBelieved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the verdict is \"do not believe\": {}", self.statements)
    }
}

impl std::error::Error for NotBelieved {}

pub(crate) fn run(args: &AuditArgs, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    Files::default().reads("INPUT", &args.input).reads("--model", &args.model).check()?;
    let choice =
        Choice { input: &args.input, model: &args.model, cluster_key: args.cluster_key.as_ref(), null: args.null };
    let audit = of_files(&choice)?;
    let mut figures = Figures::default();
    add(&audit, &mut figures);
    figures.print(output)?;
    if args.strict { strict(&audit) } else { Ok(()) }
}

/// What is audited.
pub(super) struct Choice<'a> {
    pub input: &'a Path,
    pub model: &'a Path,
    pub cluster_key: Option<&'a String>,
    /// Whether the prior is permuted too.
    pub null: bool,
}

/// An error where the program is to fail on what is not to be believed.
pub(super) fn strict(audit: &Audit) -> anyhow::Result<()> {
    if audit.verdict() != Verdict::DoNotBelieve {
        return Ok(());
    }
    let bad = Statement::ALL.into_iter().filter(|s| audit.of(*s) == Verdict::DoNotBelieve).map(Statement::name);
    Err(NotBelieved { statements: bad.collect::<Vec<_>>().join(", ") }.into())
}

/// Reads a result and its model, and makes every check.
pub(super) fn of_files(choice: &Choice<'_>) -> anyhow::Result<Audit> {
    let shown = || choice.input.display().to_string();
    let quiet = Output { quiet: true, json: false, beside: false };
    let checkpoint = model_file::first(choice.model, quiet)?;
    let file = H5ad::open(choice.input)?;
    let has = file.inspect()?;
    let Some(record) = record::of_file(choice.input, &has)? else {
        bail!("{}: uns[\"sclsd\"] is missing, which sclsd train writes: there is no record of the prior", shown());
    };
    let cluster_key = groups::cluster_key(choice.cluster_key, &[Some(&record.spec), Some(&checkpoint.spec)], &has);
    let no_clusters = cluster_key.as_ref().err().map(|error| format!("{error:#}"));
    let cluster_key = cluster_key.ok();
    let mut data = named_apart(
        choice.input,
        hinted(file.read(&wanted(&has, &record.spec, cluster_key.as_ref())), "an audit needs what sclsd train writes")?,
    )?;
    model_file::check_genes(choice.model, &checkpoint, &data).with_context(shown)?;
    if let Some(key) = &cluster_key {
        groups::name(&mut data, key).with_context(shown)?;
    }
    let clusters: Option<Categorical> = match &cluster_key {
        Some(key) => Some(data.groups(key).with_context(shown)?),
        None => None,
    };
    let estimator = FateEstimator {
        data: &data,
        record: Some(&record),
        checkpoint: Some(&checkpoint),
        beta: FATE_BETA,
        prior_weight: None,
        output: quiet,
    };
    let source = Source {
        data: &data,
        record: &record,
        checkpoint: &checkpoint,
        terminal: estimator.terminal(&[], cluster_key.as_deref()).map_err(|error| format!("{error:#}")),
        estimator: &estimator,
        clusters: clusters.ok_or_else(|| no_clusters.unwrap_or_else(|| "the clusters are not known".into())),
    };
    source.audit(choice.null).with_context(shown)
}

/// What is read of a file.
fn wanted(has: &Inspection, spec: &sclsd::infer::TrainSpec, cluster_key: Option<&String>) -> sclsd::data::Keys {
    let mut wanted = fate_estimates::keys(has, spec, cluster_key);
    if !has.has("obs", "lsd_pseudotime") {
        wanted.obs.push("lsd_pseudotime".into()); // what is read is an error that says what is there
    }
    if !has.has("obsp", &spec.keys.connectivities) {
        wanted.obsp.push(spec.keys.connectivities.clone());
    }
    let add = |slot: &'static str, keys: &mut Vec<String>, all: &[&str]| {
        keys.extend(all.iter().filter(|key| has.has(slot, key)).map(ToString::to_string));
    };
    add("obs", &mut wanted.obs, &[checks::TIME_SPREAD]);
    add("obsm", &mut wanted.obsm, &[fate_estimates::PROBABILITIES, checks::FATE_SPREAD]);
    add("uns", &mut wanted.uns, &[fate_estimates::PROBABILITIES]);
    wanted.x = false;
    wanted
}

/// The verdict, the statements and every check, for people and for machines.
pub(super) fn add(audit: &Audit, figures: &mut Figures) {
    let width = audit.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let checks: Vec<String> = audit.checks.iter().map(|check| line(check, width)).collect();
    figures.nested("checks", checks.concat(), json!(audit.checks));
    let shown: Vec<String> =
        Statement::ALL.map(|statement| format!("{} {}", statement.name(), audit.of(statement))).to_vec();
    let statements: Map<String, Value> =
        Statement::ALL.map(|s| (s.name().to_owned(), Value::from(audit.of(s).to_string()))).into_iter().collect();
    figures.nested("statements", shown.join(", "), Value::Object(statements));
    figures.text("verdict", audit.verdict());
}

fn line(check: &Check, width: usize) -> String {
    let mark = match check.passed {
        Some(true) => "pass",
        Some(false) if check.verdicts.is_empty() => "note",
        Some(false) => "FAIL",
        None => "    ",
    };
    let value = check.value.map_or_else(|| "    –".to_owned(), |value| format!("{value:>6.3}"));
    format!("\n    {mark}  {:<width$}  {value}  {}", check.name, escape::line(&check.says))
}

/// Statements and their verdicts in words, and rows of checks: for a page.
pub(super) fn for_report(audit: &Audit) -> sclsd::plot::ReportAudit {
    let statement = |s: Statement| (s.name().to_owned(), audit.of(s).to_string());
    let row = |check: &Check| sclsd::plot::ReportCheck {
        name: check.name.replace('_', " "),
        value: check.value,
        threshold: check.threshold,
        passed: check.passed,
        says: check.says.clone(),
    };
    sclsd::plot::ReportAudit {
        verdict: audit.verdict().to_string(),
        statements: Statement::ALL.map(statement).to_vec(),
        checks: audit.checks.iter().map(row).collect(),
    }
}
