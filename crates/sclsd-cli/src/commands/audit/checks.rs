//! Every check of an audit: what it is made of, or why it cannot be made.

use sclsd::analysis::audit::{Audit, Check, Limit, limits};
use sclsd::analysis::{EndOfFlow, FateProbabilities, audit, fate_retention, off_data, spearman};
use sclsd::data::{Categorical, Column, Dataset};
use sclsd::graph::{Terminal, TerminalSpec, components, diffusion_map};
use sclsd::infer::Checkpoint;

use crate::args::{FateMethodArg, SdeArgs};
use crate::commands::fate_estimates::{self, FateEstimator};
use crate::commands::prior_choice::PriorChoice;
use crate::commands::record::{Record, TERMINAL};

/// Spread of the pseudotime over members, in obs, and of fate probabilities, in obsm.
pub(super) const TIME_SPREAD: &str = "lsd_pseudotime_std";
pub(super) const FATE_SPREAD: &str = "fate_probabilities_std";

/// Time of the flow after which paths are looked at: the length of one training walk.
const WALK: f64 = 1.0;
/// Terminal cells that vote where a flow ends; only the ends are asked for here.
const VOTERS: usize = 15;

/// A number and what it says, or why there is none.
type Found = anyhow::Result<(f64, String)>;

/// A result, its model, and what is known of both.
pub(super) struct Source<'a> {
    pub data: &'a Dataset,
    pub record: &'a Record,
    pub checkpoint: &'a Checkpoint,
    pub estimator: &'a FateEstimator<'a>,
    /// The terminal states, or why there are none.
    pub terminal: Result<Terminal, String>,
    /// The cluster of every cell, or why it is not known.
    pub clusters: Result<Categorical, String>,
}

fn check(limit: &'static Limit, found: Found) -> Check {
    match found {
        Ok((value, says)) => Check::new(limit, value, |_| says),
        Err(why) => Check::not_made(limit, format!("{why:#}")),
    }
}

impl Source<'_> {
    /// Every check, made or not.
    pub(super) fn audit(&self, null: bool) -> anyhow::Result<Audit> {
        let pseudotime = self.data.numbers("lsd_pseudotime")?;
        let time = self.time();
        let fates = self.fates();
        let null = if null { self.null(&pseudotime) } else { Err(anyhow::anyhow!("--null makes it")) };
        let checks = vec![
            self.walks_end(),
            check(&limits::PIECES, self.pieces()),
            check(&limits::SMOOTH, self.smooth(&time)),
            self.parts(&time),
            check(&limits::RING, self.ring()),
            self.walks_stay(),
            check(&limits::FOLLOWS_PRIOR, follows(&pseudotime, &time)),
            check(&limits::TERMINAL_LATE, self.late(&pseudotime)),
            check(&limits::KEPT, self.kept(&fates)),
            check(&limits::DIFFERS, self.differs(&fates)),
            check(&limits::OFF_DATA, self.off_data()),
            self.members(),
            check(&limits::NULL, null),
        ];
        Ok(Audit { checks })
    }

    fn terminal(&self) -> anyhow::Result<&Terminal> {
        self.terminal.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    }

    fn clusters(&self) -> anyhow::Result<&Categorical> {
        self.clusters.as_ref().map_err(|why| anyhow::anyhow!("{why}"))
    }

    fn graph(&self) -> anyhow::Result<&sclsd::data::Csr> {
        Ok(self.data.graph(&self.record.spec.keys.connectivities)?)
    }

    /// The time that directed walks, or why there is none.
    fn time(&self) -> Result<Vec<f64>, String> {
        match self.record.time(self.data) {
            Ok(Some(time)) => Ok(time),
            Ok(None) => match self.record.time_key() {
                Some(key) => Err(format!("obs[\"{key}\"], the prior time of the training, is missing")),
                None => Err("walks were directed by a matrix (--prior), which has no time".into()),
            },
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Steps of a training walk.
    fn steps(&self) -> usize {
        self.record.spec.walks.path_len.saturating_sub(1)
    }

    /// The fates of the file; where it has none, as sclsd fates would tell them.
    fn fates(&self) -> anyhow::Result<FateProbabilities> {
        if let Some(stored) = fate_estimates::stored(self.data, fate_estimates::PROBABILITIES) {
            return Ok(stored);
        }
        Ok(self.estimator.estimate(FateMethodArg::Transitions, self.terminal()?, 0.0, &SdeArgs::default())?.found)
    }

    /// Whether training walks end.
    fn end(&self) -> bool {
        self.record.spec.prior.terminal != TerminalSpec::None && self.data.obs.get(TERMINAL).is_some()
    }

    fn walks_end(&self) -> Check {
        let says = if self.end() {
            "Training walks end in terminal states."
        } else {
            "Training walks never end: the run had no terminal states, so a walk goes on from a mature cell to the \
             latest cells of whatever type. Train with terminal states (--preset recommended, or --terminal)."
        };
        Check::new(&limits::TERMINAL, f64::from(u8::from(self.end())), |_| says.into())
    }

    fn pieces(&self) -> Found {
        let lost = audit::without_terminal(self.graph()?, self.terminal()?)?;
        Ok((lost, format!("The graph joins {} of the cells to no terminal state.", percent(lost))))
    }

    fn smooth(&self, time: &Result<Vec<f64>, String>) -> Found {
        let time = time.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
        let moran = audit::moran(self.graph()?, time)?
            .ok_or_else(|| anyhow::anyhow!("the prior time is the same in every cell"))?;
        let says = if moran >= limits::SMOOTH.threshold {
            "Neighbors have similar prior times."
        } else {
            "Neighbors have prior times of no relation to each other, so the prior directs walks at random: is it the \
             right column, in the order of these cells? For a coarse time, give --smooth-time."
        };
        Ok((moran, says.into()))
    }

    fn parts(&self, time: &Result<Vec<f64>, String>) -> Check {
        let limit = &limits::PARTS;
        let found = || -> anyhow::Result<_> {
            let time = time.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
            Ok(audit::ends(self.graph()?, self.clusters()?, time)?)
        };
        let found = match found() {
            Ok(found) => found,
            Err(why) => return Check::not_made(limit, format!("{why:#}")),
        };
        let (ends, starts) = (found.ends.len(), found.starts.len());
        if ends == starts {
            return Check::not_made(
                limit,
                format!(
                    "the clusters have as many beginnings as ends ({ends}) by the prior time, so their shape does not \
                     tell which way time runs"
                ),
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of clusters")]
        let value = ends as f64 - starts as f64;
        Check::new(limit, value, |passed| {
            let counted = format!(
                "By the prior time {} and {}",
                listed("one cluster is an end", "clusters are ends", &found.ends),
                listed("one is a beginning", "are beginnings", &found.starts)
            );
            if passed {
                format!("{counted}: branches part.")
            } else {
                format!(
                    "{counted}: branches join, which differentiation does not do. The prior time seems to run backwards."
                )
            }
        })
    }

    /// Of the largest piece of the graph.
    fn ring(&self) -> Found {
        let graph = self.graph()?;
        let piece = components(graph)?;
        let mut sizes = vec![0_usize; piece.iter().max().map_or(0, |last| last + 1)];
        piece.iter().for_each(|&piece| sizes[piece] += 1);
        let largest = (0..sizes.len()).max_by_key(|&piece| (sizes[piece], usize::MAX - piece)).unwrap_or(0);
        let cells: Vec<usize> = (0..piece.len()).filter(|&cell| piece[cell] == largest).collect();
        let whole = cells.len() == piece.len();
        let map = if whole {
            diffusion_map(graph, 3)?
        } else {
            diffusion_map(&graph.select_rows(&cells).select_columns(&cells), 3)?
        };
        let ring = audit::ring(&map).ok_or_else(|| anyhow::anyhow!("the graph has no two diffusion components"))?;
        let opening = ring.opening();
        let says = if opening >= limits::RING.threshold {
            "Cells do not close a ring."
        } else {
            "Cells stand all round an empty middle: they close a ring, as cells of a cycle do, and no potential drives \
             cells round a ring."
        };
        Ok((opening, says.into()))
    }

    fn walks_stay(&self) -> Check {
        let limit = &limits::WALKS_STAY;
        let found = || -> anyhow::Result<f64> {
            let prior = self.estimator.prior()?;
            audit::walks_in_own_cluster(prior.matrix(), self.clusters()?, self.terminal()?.names(), self.steps())
                .ok_or_else(|| anyhow::anyhow!("no cluster has the name of a terminal state"))
        };
        let stay = match found() {
            Ok(stay) => stay,
            Err(why) => return Check::not_made(limit, format!("{why:#}")),
        };
        let says = format!(
            "Of walks of the prior from mature cells that do not end, {} are in their own cluster after {} steps",
            percent(stay),
            self.steps()
        );
        if self.end() {
            return Check::beside(limit, stay, format!("{says}; walks of this run end, so it does not count."));
        }
        Check::new(limit, stay, |_| format!("{says}."))
    }

    fn late(&self, pseudotime: &[f64]) -> Found {
        let (name, late) = audit::late_terminal(pseudotime, self.terminal()?)
            .ok_or_else(|| anyhow::anyhow!("every cell is terminal"))?;
        Ok((
            late,
            format!("Of the terminal cells of {name}, {} are later than the median of the others.", percent(late)),
        ))
    }

    fn kept(&self, fates: &anyhow::Result<FateProbabilities>) -> Found {
        let fates = fates.as_ref().map_err(|why| anyhow::anyhow!("{why:#}"))?;
        let kept: Vec<(String, f64, f64)> = fate_retention(fates, self.clusters()?, self.terminal()?)
            .into_iter()
            .filter_map(|(name, share, cells)| Some((name, share?, f64::from(u32::try_from(cells).ok()?))))
            .collect();
        let (stay, all) = kept.iter().fold((0.0, 0.0), |(stay, all), kept| (stay + kept.1 * kept.2, all + kept.2));
        let worst = kept
            .iter()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .ok_or_else(|| anyhow::anyhow!("no cluster of a terminal state has cells outside its terminal set"))?;
        let says = format!(
            "Of {all:.0} mature cells outside the terminal sets, {} have their own cluster as their likeliest fate (the \
             fewest in {}: {}).",
            percent(stay / all),
            worst.0,
            percent(worst.1)
        );
        Ok((stay / all, says))
    }

    fn differs(&self, fates: &anyhow::Result<FateProbabilities>) -> Found {
        let fates = fates.as_ref().map_err(|why| anyhow::anyhow!("{why:#}"))?;
        let prior = self.estimator.estimate(FateMethodArg::Prior, self.terminal()?, 0.0, &SdeArgs::default())?.found;
        let difference = audit::mean_difference(fates, &prior)
            .ok_or_else(|| anyhow::anyhow!("the fates of the file are not those of its terminal states"))?;
        Ok((difference, "Mean distance of fate probabilities from those of the prior alone.".into()))
    }

    fn off_data(&self) -> Found {
        let states = self.data.obsm.get("X_cell_state").ok_or_else(|| {
            anyhow::anyhow!("obsm[\"X_cell_state\"] is missing, which sclsd train or annotate writes")
        })?;
        let ode = self.checkpoint.spec.ode.clone().check()?;
        let flow =
            EndOfFlow { model: &self.checkpoint.model, cell_state: states, time_range: WALK, k: VOTERS, ode: &ode };
        let off = off_data(&flow.ends()?, states)?;
        Ok((
            off,
            format!(
                "After the length of a walk, {} of the flow's paths are where no cells are. Neither fates nor directions on an \
             embedding are made of such paths, so it does not count; --method flow is.",
                percent(off)
            ),
        ))
    }

    fn members(&self) -> Check {
        let limit = &limits::MEMBERS;
        if let Some(spread) = self.data.obsm.get(FATE_SPREAD).filter(|spread| !spread.values().is_empty()) {
            #[expect(clippy::cast_precision_loss, reason = "numbers of cells are far below 2^52")]
            let mean = spread.values().iter().map(|v| f64::from(*v)).sum::<f64>() / spread.values().len() as f64;
            let says = "Mean standard deviation of fate probabilities over members. That members agree is no proof.";
            return Check::new(limit, mean, |_| says.into());
        }
        if self.data.obs.get(TIME_SPREAD).is_some() {
            return Check::not_made(limit, format!("obsm[\"{FATE_SPREAD}\"] is missing, which sclsd fates writes"));
        }
        Check::not_made(limit, "there is one member, so that no agreement is known")
    }

    /// The same prior with its times permuted, and how far the model's pseudotime rises along walks of either.
    fn null(&self, pseudotime: &[f64]) -> Found {
        let Some(key) = self.record.time_key() else {
            anyhow::bail!("walks were directed by a matrix (--prior), which has no time");
        };
        let time = self.data.numbers(key)?;
        let mut data = self.data.clone();
        let seed = self.record.spec.random_state;
        data.obs.set(key, Column::Float(audit::permuted(&time, seed)));
        let permuted = PriorChoice::recorded(self.record).unending(&data, &self.record.spec)?;
        let rise = |walk: &sclsd::graph::Transition| audit::rise_along_walks(walk.matrix(), pseudotime, self.steps());
        let (own, null) = (rise(&self.estimator.prior()?), rise(&permuted));
        let ratio = if own > 0.0 { null.max(0.0) / own } else { f64::INFINITY };
        let says = format!(
            "The pseudotime rises by {own:.3} along walks of the prior, and by {null:.3} where its times are dealt out \
             anew among the cells."
        );
        Ok((ratio, says))
    }
}

fn follows(pseudotime: &[f64], time: &Result<Vec<f64>, String>) -> Found {
    let time = time.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
    let correlation = spearman(pseudotime, time)
        .ok_or_else(|| anyhow::anyhow!("the pseudotime or the prior time is the same in every cell"))?;
    let says = if correlation <= 0.0 {
        "The pseudotime runs against the prior time: the potential has settled the wrong way round. Give more epochs, \
         longer walks or another seed."
    } else {
        "Rank correlation of the pseudotime with the prior time."
    };
    Ok((correlation, says.into()))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// A number of clusters and their names, or none.
fn listed(one: &str, several: &str, names: &[String]) -> String {
    match names {
        [] => format!("no {several}"),
        [name] => format!("{one} ({name})"),
        all => format!("{} {several} ({})", all.len(), all.join(", ")),
    }
}
