//! `sclsd perturb`: where cells end if genes are knocked out or set to a level, beside where they end without that.

use anyhow::{Context, bail};
use sclsd::analysis::{FateTable, PerturbSpec, Perturbation, perturb};
use sclsd::data::{Categorical, Dataset, Keys, inspect};
use serde_json::{Map, Value, json};

use super::files::{self, Files};
use super::reading::read;
use super::threads::start;
use super::{groups, model_file, record, symbols};
use crate::args::PerturbArgs;
use crate::escape;
use crate::figures::Figures;
use crate::progress::Output;

pub(crate) fn run(args: &PerturbArgs, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    let files =
        Files::default().reads("INPUT", &args.input).reads("--model", &args.model).writes_text("-o", &args.output);
    let mut output = output.with_file(&args.output);
    match &args.cells_out {
        Some(path) => {
            files.writes_text("--cells-out", path).check()?;
            output = output.with_file(path);
        }
        None => files.check()?,
    }
    let checkpoint = model_file::first(&args.model, output)?;
    let shown = || args.input.display().to_string();
    let has = inspect(&args.input)?;
    let record = record::of_file(&args.input, &has)?;
    let specs = [record.as_ref().map(|record| &record.spec), Some(&checkpoint.spec)];
    let cluster_key = groups::cluster_key(args.cluster_key.as_ref(), &specs, &has).with_context(shown)?;
    let data = read(&args.input, &Keys { x: true, ..Keys::none() }.with_obs(&cluster_key))?;
    let clusters = groups::of(&data, &cluster_key).with_context(shown)?;
    let cells = cells(&clusters, &cluster_key, &args.clusters).with_context(shown)?;

    let named = symbols::names(&args.input, &args.gene, args.symbols.gene_symbols.as_deref())?;
    let sets: Vec<Vec<String>> =
        if args.each { named.iter().map(|g| vec![g.clone()]).collect() } else { vec![named.clone()] };
    let mut by_cluster = csv::Writer::from_writer(Vec::new());
    by_cluster.write_record([
        "genes",
        "level",
        "from",
        "to",
        "unperturbed",
        "perturbed",
        "unperturbed_fraction",
        "perturbed_fraction",
        "log2_fold_change",
        "format_version",
    ])?;
    let mut by_cell = csv::Writer::from_writer(Vec::new());
    by_cell.write_record([
        "genes",
        "level",
        "cell",
        "cluster",
        "unperturbed_fate",
        "perturbed_fate",
        "format_version",
    ])?;
    let mut figures = Figures::default();
    figures.count("cells", cells.len());
    figures.number("level", args.level, 3);
    let (mut lines, mut fates) = (Vec::new(), Map::new());
    for genes in sets {
        let spec = PerturbSpec {
            genes: genes.clone(),
            level: args.level,
            dt_pert: args.dt_pert,
            t_unpert: args.time_range,
            max_perturbations: args.rounds,
            ode: checkpoint.spec.ode.clone(),
        };
        let found = perturb(&checkpoint.model, &data, Some(&cells), &spec)
            .with_context(|| format!("{} with {}", args.input.display(), args.model.display()))?;
        let name = genes.join("+");
        let before = FateTable::new(&clusters, &found.cells, &found.unperturbed);
        let after = FateTable::new(&clusters, &found.cells, &found.perturbed);
        tabulate(&mut by_cluster, &name, args.level, &before, &after)?;
        tabulate_cells(&mut by_cell, &name, args.level, &data, &clusters, &found)?;
        let (shown, value) = summary(&before, &after);
        lines.push(format!("\n    {}: {shown}", escape::line(&name)));
        fates.insert(name, value);
    }
    let unnamed = cells.iter().filter(|&&cell| clusters.name(cell as usize).is_none()).count();
    if unnamed > 0 {
        output.note(format!("{unnamed} cells have no cluster and are in no row of the table"));
    }
    figures.nested("cells by fate", lines.concat(), Value::Object(fates));
    let unexpressed = if args.level == 0.0 { unexpressed(&data, &cells, &named)? } else { Vec::new() };
    for gene in &unexpressed {
        output.note(format!(
            "warning: none of the {} perturbed cells expresses {gene}, so the knockout has no effect. Ignore the rows of this \
             gene",
            cells.len()
        ));
    }
    if !unexpressed.is_empty() {
        figures.nested(
            "expressed by no perturbed cell",
            escape::line(&unexpressed.join(", ")).into(),
            json!(unexpressed),
        );
    }
    if let Some(path) = &args.cells_out {
        files::write(path, &by_cell.into_inner()?)?;
    }
    files::write(&args.output, &by_cluster.into_inner()?)?;
    figures.text("table", args.output.display());
    figures.print(output)
}

/// Genes that no perturbed cell expresses.
fn unexpressed(data: &Dataset, cells: &[u32], genes: &[String]) -> anyhow::Result<Vec<String>> {
    let x = data.expression()?;
    let expressed = |gene: usize| {
        cells.iter().any(|&cell| {
            let (at, values) = x.row(cell as usize);
            at.iter().zip(values).any(|(&g, &value)| g as usize == gene && value != 0.0)
        })
    };
    let silent = |name: &&String| data.var.names.iter().position(|n| n == *name).is_some_and(|gene| !expressed(gene));
    Ok(genes.iter().filter(silent).cloned().collect())
}

/// Cells of the named clusters of obs `key`; all if none is named.
fn cells(clusters: &Categorical, key: &str, names: &[String]) -> anyhow::Result<Vec<u32>> {
    for name in names {
        if !clusters.categories().contains(name) {
            let known = clusters.categories().join(", ");
            bail!("cluster \"{name}\" is not in obs[\"{key}\"], which has {known}");
        }
    }
    let chosen = |cell: &u32| {
        let name = clusters.name(*cell as usize);
        names.is_empty() || name.is_some_and(|name| names.iter().any(|c| c == name))
    };
    Ok((0_u32..).take(clusters.codes().len()).filter(chosen).collect())
}

/// Version of both tables, in their last column (docs/formats.md).
const FORMAT_VERSION: &str = "1";

/// Writes one row for each pair of clusters between which cells go, then one for each fate over all cells (`from`
/// empty).
fn tabulate(
    out: &mut csv::Writer<Vec<u8>>,
    genes: &str,
    level: f64,
    before: &FateTable,
    after: &FateTable,
) -> anyhow::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let fold = |before: usize, after: usize| ((after as f64 + 1.0) / (before as f64 + 1.0)).log2();
    let mut row = |from: &str, to: &str, counts: [usize; 2], fractions: [f64; 2]| {
        out.write_record([
            escape::table_name(genes).into_owned(),
            level.to_string(),
            escape::table_name(from).into_owned(),
            escape::table_name(to).into_owned(),
            counts[0].to_string(),
            counts[1].to_string(),
            fractions[0].to_string(),
            fractions[1].to_string(),
            fold(counts[0], counts[1]).to_string(),
            FORMAT_VERSION.to_owned(),
        ])
    };
    let n = before.clusters.len();
    for (from, to) in (0..n).flat_map(|from| (0..n).map(move |to| (from, to))) {
        let counts = [before.count(from, to), after.count(from, to)];
        if counts != [0, 0] {
            let fractions = [before.fraction(from, to), after.fraction(from, to)];
            row(&before.clusters[from], &before.clusters[to], counts, fractions)?;
        }
    }
    let (ends, then) = (before.ends(), after.ends());
    let all: usize = ends.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
    let fraction = |count: usize| if all == 0 { 0.0 } else { count as f64 / all as f64 };
    for to in 0..n {
        row("", &before.clusters[to], [ends[to], then[to]], [fraction(ends[to]), fraction(then[to])])?;
    }
    Ok(())
}

fn tabulate_cells(
    out: &mut csv::Writer<Vec<u8>>,
    genes: &str,
    level: f64,
    data: &Dataset,
    clusters: &Categorical,
    found: &Perturbation,
) -> anyhow::Result<()> {
    let (genes, level) = (escape::table_name(genes), level.to_string());
    let name = |cell: u32| escape::table_name(clusters.name(cell as usize).unwrap_or(""));
    for ((&cell, &before), &after) in found.cells.iter().zip(&found.unperturbed).zip(&found.perturbed) {
        let barcode = escape::table_name(&data.obs.names[cell as usize]);
        out.write_record([&genes, level.as_str(), &barcode, &name(cell), &name(before), &name(after), FORMAT_VERSION])?;
    }
    Ok(())
}

/// Cells that end in each cluster before and after, with the log2 fold change, as text and as JSON.
fn summary(before: &FateTable, after: &FateTable) -> (String, Value) {
    let (ends, then, fold) = (before.ends(), after.ends(), after.log2_fold_change(before));
    let fates: Map<String, Value> = (0..ends.len())
        .map(|to| {
            let value = json!({"unperturbed": ends[to], "perturbed": then[to], "log2_fold_change": fold[to]});
            (before.clusters[to].clone(), value)
        })
        .collect();
    let shown: Vec<String> = (0..ends.len())
        .filter(|&to| ends[to] + then[to] > 0)
        .map(|to| {
            let name = escape::line(&before.clusters[to]);
            format!("{name} {} -> {} ({:+.2})", ends[to], then[to], fold[to])
        })
        .collect();
    (shown.join(", "), Value::Object(fates))
}
