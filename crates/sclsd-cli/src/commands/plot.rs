//! `sclsd plot`: one picture of a result.

use std::path::Path;

use anyhow::{Context, bail};
use sclsd::analysis::agreement;
use sclsd::data::{Categorical, Column, Dataset, Keys, closest_names, did_you_mean, inspect, is_stream};
use sclsd::infer::Checkpoint;
use sclsd::plot::{
    CalibrationCurve, ColorMap, ColoredFates, Coloring, Curve, FateChange, FateCounts, Format, Landscape, Panel, Paths,
    Picture, Places, StreamStyle, View, calibration, contour_map, embedding, fate_circle, fate_probabilities, fates,
    group_colors, palette, panels, perturbations, stream, surface, walks,
};

use super::files::{self, Files};
use super::reading::{read, read_text, read_with_hint};
use super::record::{self, Record};
use super::threads::start;
use super::trajectories::{choose, follow, on_embedding, prior_walks};
use super::{basis, fate_estimates, groups, model_file, symbols};
use crate::args::{Plot, PlotKind};
use crate::figures::Figures;
use crate::progress::Output;
use crate::{escape, standard};

pub(crate) fn run(args: &Plot, output: Output) -> anyhow::Result<()> {
    start(&args.threads, output)?;
    Files::default()
        .reads("INPUT", &args.input)
        .may_read("--model", args.model.as_ref())
        .writes_text("-o", &args.output)
        .check()?;
    let format = match Format::of(&args.output) {
        Err(_) if is_stream(&args.output) || standard::is_standard_output(&args.output) => Format::Svg,
        format => format?,
    };
    let picture = match args.kind {
        PlotKind::Perturb => perturbation(args)?,
        _ => draw(args, output).map_err(|error| {
            let shown = args.input.display().to_string();
            // some errors name the file already
            if error.to_string().starts_with(&shown) { error } else { error.context(shown) }
        })?,
    };
    files::write(&args.output, &picture.render(format)?)?;
    let output = output.with_file(&args.output);
    let mut figures = Figures::default();
    figures.text("picture", args.output.display());
    figures.print(output)
}

fn draw(args: &Plot, output: Output) -> anyhow::Result<Picture> {
    let file = File::open(args, output)?;
    match args.kind {
        PlotKind::Embedding => file.embedding(),
        PlotKind::Stream => file.stream(),
        PlotKind::Landscape => file.landscape(),
        PlotKind::Walks => file.walks(output),
        PlotKind::Components => file.components(),
        PlotKind::Loss => file.loss(),
        PlotKind::Fates => file.fates(),
        PlotKind::FateProbabilities => {
            Ok(fate_probabilities(file.places()?, &file.probabilities()?, &file.title("fates")))
        }
        PlotKind::FateCircle => file.fate_circle(),
        PlotKind::Calibration => file.calibration(),
        PlotKind::Perturb => bail!("a table of perturbations is not an .h5ad file"),
    }
}

/// What a picture is made of: the parts of the file that it needs.
struct File<'a> {
    args: &'a Plot,
    /// Embedding that cells are drawn on; empty for pictures without cells.
    basis: String,
    data: Dataset,
    record: Option<Record>,
    /// The model that cells follow.
    checkpoint: Option<Checkpoint>,
    cluster_key: Option<String>,
    color: Option<String>,
}

impl<'a> File<'a> {
    fn open(args: &'a Plot, output: Output) -> anyhow::Result<Self> {
        let has = inspect(&args.input)?;
        let uns = if has.has("uns", record::KEY) { vec![record::KEY.to_owned()] } else { Vec::new() };
        let record = record::read(&read(&args.input, &Keys { uns, ..Keys::none() })?)?;
        let checkpoint = args.model.as_deref().map(|path| model_file::first(path, output)).transpose()?;
        let specs = [record.as_ref().map(|r| &r.spec), checkpoint.as_ref().map(|c| &c.spec)];
        let cluster_key = groups::cluster_key(args.cluster_key.as_ref(), &specs, &has);
        let must = args.kind == PlotKind::Fates || !args.clusters.is_empty();
        let cluster_key = if must { Some(cluster_key?) } else { cluster_key.ok() };
        // a column of obs comes first; any other name is a gene, by its name or its symbol
        let gene = args.color.iter().filter(|key| !has.has("obs", key)).cloned().collect::<Vec<_>>();
        let gene = symbols::names(&args.input, &gene, args.symbols.gene_symbols.as_deref())?.pop();
        let color = gene
            .or_else(|| args.color.clone())
            .or_else(|| cluster_key.clone())
            .unwrap_or_else(|| "lsd_pseudotime".into());

        let mut keys = Keys::none();
        let mut color = Some(color);
        let on_cells = matches!(
            args.kind,
            PlotKind::Embedding
                | PlotKind::Stream
                | PlotKind::Landscape
                | PlotKind::Walks
                | PlotKind::FateProbabilities
        );
        let basis = if on_cells {
            let directed = |key: &str| args.kind != PlotKind::Stream || has.has("obsm", &velocity_key(args, key));
            basis::of_picture(&args.input, &has, args.basis.as_deref(), directed)?
        } else {
            String::new()
        };
        if on_cells {
            keys.obsm.push(basis.clone());
            if args.basis.is_none() && basis != "X_umap" {
                output.note(format!("drawn on obsm[\"{basis}\"]; choose another with --basis"));
            }
        }
        if !on_cells || args.kind == PlotKind::FateProbabilities {
            color = None;
        }
        if matches!(args.kind, PlotKind::FateProbabilities | PlotKind::FateCircle | PlotKind::Calibration) {
            keys.obsm.push(fate_estimates::PROBABILITIES.into());
            keys.uns.push(fate_estimates::PROBABILITIES.into());
            if !has.has("obsm", fate_estimates::PROBABILITIES) {
                bail!("obsm[\"{}\"] is missing; run sclsd fates first", fate_estimates::PROBABILITIES);
            }
        }
        if args.kind == PlotKind::Calibration {
            let baselines =
                [fate_estimates::BY_PRIOR, fate_estimates::BY_NEIGHBORS].into_iter().filter(|key| has.has("obsm", key));
            keys.obsm.extend(baselines.map(str::to_owned));
            keys.obs.extend(has.keys("obs").filter(|key| key.starts_with("true_fate_")).map(str::to_owned));
        }
        let mut want = |key: &str| {
            if !keys.obs.iter().any(|k| k == key) {
                keys.obs.push(key.to_owned());
            }
        };
        cluster_key.iter().for_each(|key| want(key));
        match args.kind {
            PlotKind::Landscape => want("potential"),
            PlotKind::Fates => {
                want("fate");
                if has.has("obsm", fate_estimates::PROBABILITIES) {
                    keys.obsm.push(fate_estimates::PROBABILITIES.into());
                    keys.uns.push(fate_estimates::PROBABILITIES.into());
                }
            }
            _ => {}
        }
        if let Some(key) = color.as_deref().filter(|_| args.kind != PlotKind::Landscape) {
            if has.has("obs", key) { want(key) } else { keys.x = true }
        }
        if args.kind == PlotKind::Stream {
            keys.obsm.push(velocity_key(args, &basis));
        }
        if matches!(args.kind, PlotKind::Walks | PlotKind::Components) || args.model.is_some() {
            keys.obsm.push("X_cell_state".into());
        }
        if let (PlotKind::Walks, Some(record)) = (args.kind, &record) {
            keys.obsp.push(record.spec.keys.connectivities.clone());
            match record.time_key() {
                Some(time) if !keys.obs.iter().any(|key| key == time) => keys.obs.push(time.to_owned()),
                None if has.has("obsp", record::PRIOR_MATRIX) => keys.obsp.push(record::PRIOR_MATRIX.into()),
                _ => {}
            }
        }
        let hint = match args.kind {
            PlotKind::Fates | PlotKind::FateProbabilities | PlotKind::FateCircle | PlotKind::Calibration => {
                "this picture needs what sclsd fates writes"
            }
            _ => "a picture needs what sclsd train writes",
        };
        let mut data = read_with_hint(&args.input, &keys, hint)?;
        if let (Some(path), Some(checkpoint)) = (&args.model, &checkpoint) {
            model_file::check_genes(path, checkpoint, &data)?;
        }
        if let Some(key) = &cluster_key {
            groups::name(&mut data, key)?;
        }
        Ok(Self { args, basis, data, record, checkpoint, cluster_key, color })
    }

    fn places(&self) -> anyhow::Result<Places<'_>> {
        let points = &self.data.obsm[&self.basis];
        if points.n_cols() < 2 {
            bail!(
                "obsm[\"{}\"] has {} column, but a picture needs 2; choose another with --basis",
                self.basis,
                points.n_cols()
            );
        }
        Ok(Places { basis: &self.basis, points })
    }

    /// The cells that paths start from, and the clusters if they are known.
    fn choose(&self) -> anyhow::Result<(Vec<usize>, Option<Categorical>)> {
        choose(&self.data, self.cluster_key.as_deref(), &self.args.clusters, self.args.paths)
    }

    fn title(&self, otherwise: &str) -> String {
        self.args.title.clone().unwrap_or_else(|| otherwise.to_owned())
    }

    fn coloring(&self) -> anyhow::Result<Coloring> {
        coloring(&self.data, self.color.as_deref().unwrap_or_default())
    }

    fn color_name(&self) -> String {
        self.title(self.color.as_deref().unwrap_or_default())
    }

    fn embedding(&self) -> anyhow::Result<Picture> {
        Ok(embedding(self.places()?, &self.coloring()?, &self.color_name()))
    }

    fn stream(&self) -> anyhow::Result<Picture> {
        let (args, style) = (self.args, StreamStyle::default());
        let (density, smooth) = (args.density, args.smooth);
        for (name, value) in [("--density", density), ("--smooth", smooth)] {
            if !(value > 0.0 && value <= 20.0) {
                bail!("{name} is {value}, expected a number above 0 and at most 20");
            }
        }
        let style = StreamStyle {
            density: density * style.density,
            smooth: smooth * style.smooth,
            color_by_speed: args.color_by_speed,
        };
        let key = velocity_key(args, &self.basis);
        let velocity = &self.data.obsm[&key];
        let title = if args.color_by_speed { self.title(&key) } else { self.color_name() };
        Ok(stream(self.places()?, velocity, &self.coloring()?, &style, &title))
    }

    fn landscape(&self) -> anyhow::Result<Picture> {
        let landscape = Landscape::new(self.places()?, &self.data.numbers("potential")?);
        let paths = match &self.checkpoint {
            None => Vec::new(),
            Some(checkpoint) => {
                let (cells, _) = self.choose()?;
                let flow = follow(checkpoint, &self.data, &cells, self.args.time_range)?;
                on_embedding(&flow, &self.data, &self.basis)?
            }
        };
        let title = self.title("Waddington landscape");
        if self.args.surface {
            let view = View { azimuth: self.args.azimuth, elevation: self.args.elevation };
            return Ok(surface(&landscape, &paths, view, &title));
        }
        Ok(contour_map(&landscape, &paths, &title))
    }

    fn walks(self, output: Output) -> anyhow::Result<Picture> {
        let (cells, _) = self.choose()?;
        let mut kinds = Vec::new();
        if let Some(record) = &self.record {
            let places = prior_walks(record, &self.data, &cells, &self.basis, self.args.seed, output)?;
            kinds.push(Paths { name: "prior walks".into(), places });
        }
        if let Some(checkpoint) = &self.checkpoint {
            let flow = follow(checkpoint, &self.data, &cells, self.args.time_range)?;
            kinds.push(Paths { name: "model".into(), places: on_embedding(&flow, &self.data, &self.basis)? });
        }
        if kinds.is_empty() {
            bail!(
                "the file does not record the prior of its walks, and --model is not given: there is nothing to draw"
            );
        }
        Ok(walks(self.places()?, &self.coloring()?, &kinds, &self.color_name()))
    }

    fn components(&self) -> anyhow::Result<Picture> {
        let Some(checkpoint) = &self.checkpoint else {
            bail!("sclsd plot components needs --model, which the cells follow")
        };
        let (cells, groups) = self.choose()?;
        let flow = follow(checkpoint, &self.data, &cells, self.args.time_range)?;
        let groups = groups.unwrap_or_else(|| Categorical::from_names(vec!["cells"; self.data.n_cells()]));
        let colors = group_colors(&groups);
        let members: Vec<(usize, Vec<usize>)> = (0..groups.categories().len())
            .map(|g| (g, (0..cells.len()).filter(|&i| groups.codes()[cells[i]] == u32::try_from(g).ok()).collect()))
            .filter(|(_, members): &(_, Vec<usize>)| !members.is_empty())
            .collect();
        let dimensions = flow.states[0].n_cols();
        let panel = |z: usize| {
            let curve = |(g, members): &(usize, Vec<usize>)| {
                let at = |states: &sclsd::data::Matrix| {
                    let mut values: Vec<f64> = members.iter().map(|&i| f64::from(states.row(i)[z])).collect();
                    values.sort_by(f64::total_cmp);
                    [0.25, 0.5, 0.75].map(|fraction| quantile(&values, fraction))
                };
                let quartiles: Vec<[f64; 3]> = flow.states.iter().map(at).collect();
                let pick = |which: usize| quartiles.iter().map(|q| q[which]).collect();
                Curve {
                    name: groups.categories()[*g].clone(),
                    color: colors[*g],
                    values: pick(1),
                    band: Some((pick(0), pick(2))),
                }
            };
            Panel { title: format!("z {}", z + 1), curves: members.iter().map(curve).collect() }
        };
        let all: Vec<Panel> = (0..dimensions).map(panel).collect();
        Ok(panels("time", &flow.times, &all, &self.title("latent components along the flow: median and quartiles")))
    }

    fn loss(&self) -> anyhow::Result<Picture> {
        let history = self.record.as_ref().map(|r| &r.history).filter(|h| h.contains_key("loss"));
        let Some(history) = history else {
            bail!("uns[\"sclsd\"] has no history of training; draw a result of sclsd train")
        };
        let epochs: Vec<f64> = (1_u32..).take(history["loss"].len()).map(f64::from).collect();
        let color = palette(1)[0];
        let named = |(name, values): (&String, &Vec<f64>)| Panel {
            title: name.strip_prefix("loss_").unwrap_or(name).replace('_', " "),
            curves: vec![Curve { name: name.clone(), color, values: values.clone(), band: None }],
        };
        let all: Vec<Panel> = history.iter().filter(|(_, values)| values.len() == epochs.len()).map(named).collect();
        Ok(panels("epoch", &epochs, &all, &self.title("training")))
    }

    fn stored(&self, key: &str) -> anyhow::Result<FateEstimate> {
        let of_clusters = self.cluster_key.as_ref().and_then(|key| self.data.groups(key).ok());
        let found = fate_estimates::stored(&self.data, key)
            .with_context(|| format!("uns[\"{}\"] has no names for obsm[\"{key}\"]", fate_estimates::PROBABILITIES))?;
        let colors = group_colors(&fate_estimates::colored(found.column(), of_clusters.as_ref()));
        Ok(FateEstimate { found, colors })
    }

    fn probabilities(&self) -> anyhow::Result<ColoredFates> {
        Ok(self.stored(fate_estimates::PROBABILITIES)?.into())
    }

    fn fate_circle(&self) -> anyhow::Result<Picture> {
        let fates = self.probabilities()?;
        if fates.names.len() < 2 {
            bail!("there is only one fate, {}, so no cell is between fates", fates.names.join(", "));
        }
        let coloring = self.cluster_key.as_ref().map(|key| coloring(&self.data, key)).transpose()?;
        Ok(fate_circle(&fates, coloring.as_ref(), &self.title("between fates")))
    }

    fn calibration(&self) -> anyhow::Result<Picture> {
        let method = fate_estimates::stored_method(&self.data).unwrap_or_else(|| "model".into());
        let mut curves = Vec::new();
        for (name, key) in [
            (method.as_str(), fate_estimates::PROBABILITIES),
            ("prior", fate_estimates::BY_PRIOR),
            ("neighbors", fate_estimates::BY_NEIGHBORS),
        ] {
            if !self.data.obsm.contains_key(key) {
                continue;
            }
            let fates = self.stored(key)?.found;
            let Some(agreement) =
                fate_estimates::truth(&self.data, &fates)?.and_then(|truth| agreement(&fates, &truth))
            else {
                bail!(
                    "the file has no true probabilities (obs[\"true_fate_…\"], one for each fate); simulated cells have them"
                );
            };
            let bins = agreement.calibration.bins;
            curves.push(CalibrationCurve {
                name: name.to_owned(),
                predicted: bins.iter().map(|b| b.predicted).collect(),
                observed: bins.iter().map(|b| b.observed).collect(),
                counts: bins.iter().map(|b| b.count).collect(),
            });
        }
        Ok(calibration(&curves, &self.title("predicted and true fates")))
    }

    fn fates(&self) -> anyhow::Result<Picture> {
        let Some(key) = &self.cluster_key else {
            bail!("sclsd plot fates needs --cluster-key, the column of obs with the clusters that cells start in")
        };
        let (clusters, ends) = (self.data.groups(key)?, groups::of(&self.data, "fate")?);
        let counts = match fate_estimates::stored(&self.data, fate_estimates::PROBABILITIES) {
            Some(fates) if agree(&fates, &ends) => fate_flows(&clusters, &fates),
            _ => fate_counts(&clusters, &ends),
        };
        Ok(fates(&counts, &self.title("where cells end")))
    }
}

/// Probabilities with the colors of their fates.
pub(super) struct FateEstimate {
    pub found: sclsd::analysis::FateProbabilities,
    pub colors: Vec<[u8; 3]>,
}

impl From<FateEstimate> for ColoredFates {
    fn from(estimate: FateEstimate) -> Self {
        Self {
            names: estimate.found.names().to_vec(),
            colors: estimate.colors,
            values: estimate.found.values().to_vec(),
        }
    }
}

/// Whether the fates in obs are the likeliest of these probabilities, and not those that another method wrote later.
fn agree(fates: &sclsd::analysis::FateProbabilities, ends: &Categorical) -> bool {
    let likeliest = |cell: usize| fates.likeliest(cell).map(|k| fates.names()[k].as_str());
    (0..fates.n_cells()).all(|cell| ends.name(cell) == likeliest(cell))
}

/// Cells of each cluster by fate; each cell is divided among the fates by its probabilities.
fn fate_flows(clusters: &Categorical, fates: &sclsd::analysis::FateProbabilities) -> FateCounts {
    flows(clusters, fates.names(), |cell| fates.row(cell).iter().copied().enumerate())
}

/// Cells of each cluster by fate.
fn fate_counts(clusters: &Categorical, ends: &Categorical) -> FateCounts {
    flows(clusters, ends.categories(), |cell| ends.codes()[cell].map(|fate| (fate as usize, 1.0)))
}

/// The number of cells that go from each cluster to each fate; a fate that is not a cluster is left out.
fn flows<I: IntoIterator<Item = (usize, f64)>>(
    clusters: &Categorical,
    fates: &[String],
    fractions: impl Fn(usize) -> I,
) -> FateCounts {
    let names = clusters.categories();
    let n = names.len();
    let cluster_of: Vec<Option<usize>> = fates.iter().map(|fate| names.iter().position(|name| name == fate)).collect();
    let mut cells = vec![0.0; n * n];
    for (cell, from) in clusters.codes().iter().enumerate() {
        let Some(from) = from else { continue };
        for (fate, fraction) in fractions(cell) {
            if let Some(to) = cluster_of[fate] {
                cells[*from as usize * n + to] += fraction;
            }
        }
    }
    FateCounts { clusters: names.to_vec(), colors: group_colors(clusters), cells }
}

/// Colors cells by a column of obs that was read, or by a gene.
pub(super) fn coloring(data: &Dataset, key: &str) -> anyhow::Result<Coloring> {
    if let Some(column) = data.obs.get(key) {
        return Ok(match column {
            Column::Categorical(_) | Column::String(_) | Column::Boolean(_) => Coloring::Groups(groups::of(data, key)?),
            _ => Coloring::Numbers {
                name: key.to_owned(),
                values: column.to_floats().unwrap_or_default(),
                color_map: ColorMap::Viridis,
            },
        });
    }
    let Some(gene) = data.var.names.iter().position(|name| name == key) else {
        let near = closest_names(key, &data.var.names);
        bail!("\"{key}\" is neither a column of obs nor a gene{}", did_you_mean(&near));
    };
    Ok(Coloring::Numbers { name: key.to_owned(), values: gene_values(data, gene)?, color_map: ColorMap::Viridis })
}

/// Expression of a gene in every cell.
pub(super) fn gene_values(data: &Dataset, gene: usize) -> anyhow::Result<Vec<f64>> {
    let x = data.expression()?;
    Ok((0..x.n_rows())
        .map(|cell| {
            let (genes, values) = x.row(cell);
            genes.iter().position(|&g| g as usize == gene).map_or(0.0, |at| f64::from(values[at]))
        })
        .collect())
}

fn velocity_key(args: &Plot, basis: &str) -> String {
    args.velocity.key(basis::suffix(basis))
}

/// The value below which this fraction of sorted values lies.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let at = (fraction * (sorted.len() - 1) as f64).round() as usize;
    sorted[at]
}

/// Draws the table that `sclsd perturb` writes: the rows over all cells.
fn perturbation(args: &Plot) -> anyhow::Result<Picture> {
    let changes = read_changes(&args.input)?;
    if changes.is_empty() {
        bail!(
            "{} has no row with an empty \"from\", which sclsd perturb -o writes for each fate",
            args.input.display()
        );
    }
    Ok(perturbations(&changes, args.title.as_deref().unwrap_or("fates after perturbation")))
}

fn read_changes(path: &Path) -> anyhow::Result<Vec<FateChange>> {
    let shown = path.display().to_string();
    let bytes = read_text(path)?;
    let mut reader = csv::Reader::from_reader(bytes.as_bytes());
    let names = ["genes", "from", "to", "unperturbed", "perturbed", "log2_fold_change"];
    let header = reader.headers().with_context(|| shown.clone())?.clone();
    let column = |name: &str| {
        header.iter().position(|h| h == name).with_context(|| {
            format!(
                "{shown} lacks the column \"{name}\"; sclsd plot perturb draws the table that sclsd perturb -o writes"
            )
        })
    };
    let at: Vec<usize> = names.into_iter().map(column).collect::<anyhow::Result<_>>()?;
    let mut changes = Vec::new();
    for (i, row) in reader.records().enumerate() {
        let row = row.with_context(|| shown.clone())?;
        let number = |c: usize| {
            row[at[c]]
                .parse::<f64>()
                .with_context(|| format!("{shown}: row {} has no number in \"{}\"", i + 2, names[c]))
        };
        let cells = number(3)?.max(number(4)?);
        if row[at[1]].is_empty() && cells > 0.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of cells")]
            changes.push(FateChange {
                gene: escape::from_table(&row[at[0]]).to_owned(),
                fate: escape::from_table(&row[at[2]]).to_owned(),
                log2_fold_change: number(5)?,
                cells: cells as usize,
            });
        }
    }
    Ok(changes)
}
