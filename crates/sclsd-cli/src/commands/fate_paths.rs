//! Fates by paths of dz = −∇V dt + σ dW, and genes along such paths.

use anyhow::{Context, bail};
use sclsd::analysis::{CheckedNoisyFlowSpec, FateProbabilities, NoisyFlow, NoisyFlowSpec};
use sclsd::data::{Categorical, Matrix, Uns, closest_names, did_you_mean};
use sclsd::graph::Terminal;
use sclsd::model::Model;

use crate::args::SdeArgs;
use crate::escape;
use crate::progress::Output;

/// Share of the paths that enter no terminal set above which that is said.
const MANY: f64 = 0.1;
/// Cells of a cluster that paths of genes begin at, at most.
const STARTS: usize = 20;
/// Version of the table, in its last column (docs/formats.md).
const FORMAT_VERSION: &str = "1";

/// What to draw, by the options and a σ.
pub(super) fn spec(args: &SdeArgs, sigma: f64, time_range: f64) -> anyhow::Result<CheckedNoisyFlowSpec> {
    let NoisyFlowSpec { draws, seed, .. } = NoisyFlowSpec::default();
    let (draws, seed) = (args.draws.unwrap_or(draws), args.seed.unwrap_or(seed));
    Ok(NoisyFlowSpec { draws, sigma, time_range, seed }.check()?)
}

/// Paths that can be drawn, and the sets that they are to enter.
pub(super) struct FatePaths<'a> {
    pub model: &'a Model,
    /// z of every cell.
    pub states: &'a Matrix,
    pub terminal: &'a Terminal,
    pub spec: CheckedNoisyFlowSpec,
}

impl FatePaths<'_> {
    fn flow(&self) -> NoisyFlow<'_> {
        NoisyFlow { model: self.model, cell_state: self.states, spec: &self.spec }
    }

    /// Shares of paths that enter each terminal set, and what they depend on by name.
    pub(super) fn absorbed(&self, output: Output) -> anyhow::Result<(FateProbabilities, Vec<(&'static str, Uns)>)> {
        let found = self.flow().absorb(self.terminal)?;
        let NoisyFlowSpec { draws, sigma, time_range, seed } = *self.spec.get();
        if found.unabsorbed > MANY {
            output.note(format!(
                "{:.0} % of the paths had entered no terminal set at time {time_range}, and count for the nearest \
                 terminal cell; raise --time-range, or --sigma if the flow comes to rest before",
                100.0 * found.unabsorbed
            ));
        }
        let float = |value: f64| Uns::Floats(Vec::new(), vec![value]);
        let integer = |value: u64| Uns::Integers(Vec::new(), vec![i64::try_from(value).unwrap_or(i64::MAX)]);
        let about = vec![
            ("sigma", float(sigma)),
            ("draws", integer(draws.into())),
            ("seed", integer(seed)),
            ("time_range", float(time_range)),
            ("unabsorbed", float(found.unabsorbed)),
        ];
        Ok((found.probabilities, about))
    }
}

/// Which genes are followed along paths, and from which cells.
pub(super) struct GenePathTable {
    /// Names, as the table has them, and places in the model.
    genes: Vec<(String, usize)>,
    /// Clusters with cells, and up to so many of their cells, spread evenly over them.
    starts: Vec<(String, Vec<u32>)>,
}

impl GenePathTable {
    /// `genes`: names as the model has them. `only`: the clusters that paths begin in, all where none is named.
    pub(super) fn new(
        model_genes: &[String],
        genes: &[String],
        clusters: &Categorical,
        only: &[String],
    ) -> anyhow::Result<Self> {
        let place = |gene: &String| {
            let near = || did_you_mean(&closest_names(gene, model_genes));
            let place = model_genes.iter().position(|name| name == gene);
            Ok((gene.clone(), place.with_context(|| format!("the model has no gene {gene}{}", near()))?))
        };
        let genes = genes.iter().map(place).collect::<anyhow::Result<_>>()?;
        let names = clusters.categories();
        if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
            bail!("cluster \"{unknown}\" of --clusters is not one of {}", names.join(", "));
        }
        let wanted = names.iter().enumerate().filter(|(_, name)| only.is_empty() || only.contains(name));
        let starts = wanted.map(|(code, name)| {
            let of = |cell: &u32| clusters.codes()[*cell as usize].is_some_and(|own| own as usize == code);
            let cells: Vec<u32> = (0_u32..).take(clusters.codes().len()).filter(of).collect();
            let n = STARTS.min(cells.len());
            (name.clone(), (0..n).map(|i| cells[i * cells.len() / n]).collect::<Vec<u32>>())
        });
        Ok(Self { genes, starts: starts.filter(|(_, cells)| !cells.is_empty()).collect() })
    }

    /// One row for every cluster, gene and time.
    pub(super) fn csv(&self, paths: &FatePaths<'_>) -> anyhow::Result<Vec<u8>> {
        let places: Vec<usize> = self.genes.iter().map(|(_, place)| *place).collect();
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["cluster", "gene", "time", "mean", "low", "high", "format_version"])?;
        for (cluster, cells) in &self.starts {
            let found = paths.flow().gene_paths(cells, &places, paths.terminal)?;
            for (i, mean) in found.mean.iter().enumerate() {
                let (gene, time) = (i / found.times.len(), i % found.times.len());
                table.write_record([
                    &*escape::table_name(cluster),
                    &*escape::table_name(&self.genes[gene].0),
                    &found.times[time].to_string(),
                    &mean.to_string(),
                    &found.low[i].to_string(),
                    &found.high[i].to_string(),
                    FORMAT_VERSION,
                ])?;
            }
        }
        Ok(table.into_inner()?)
    }
}
