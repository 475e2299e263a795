//! Progress: a bar on a terminal, plain lines in a log, nothing when quiet.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sclsd::infer::Event;

use crate::{escape, standard};

/// How the program prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Errors and results only.
    pub quiet: bool,
    /// Figures as JSON.
    pub json: bool,
    /// Print figures on standard error, because a file goes to standard output.
    pub beside: bool,
}

impl Output {
    /// The same, for a command that writes a file to this path, which may be standard output.
    pub(crate) fn with_file(self, path: &Path) -> Self {
        Self { beside: self.beside || standard::is_standard_output(path), ..self }
    }

    /// Prints a note on standard error, unless quiet.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            standard::complain(&escape::line(text.as_ref()));
        }
    }
}

/// Progress of training.
pub(crate) struct Progress {
    output: Output,
    bar: Option<ProgressBar>,
    began: Instant,
    first: usize,
    epochs: usize,
}

impl Progress {
    /// Progress of epochs `first .. epochs`.
    pub(crate) fn new(output: Output, first: usize, epochs: usize) -> Self {
        let bar = (!output.quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new((epochs - first.min(epochs)) as u64);
            let style = ProgressStyle::with_template("{bar:30} epoch {msg}  {elapsed} elapsed, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { output, bar, began: Instant::now(), first, epochs }
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: &Event<'_>) {
        match (event, &self.bar) {
            (Event::StepDone { epoch, step, steps, loss }, Some(bar)) => {
                bar.set_message(format!(
                    "{}/{} step {}/{steps}  loss {:.4}",
                    epoch + 1,
                    self.epochs,
                    step + 1,
                    loss.total()
                ));
                bar.tick();
            }
            (Event::EpochDone { .. }, Some(bar)) => bar.inc(1),
            (Event::EpochDone { epoch, record, .. }, None) => {
                #[expect(clippy::cast_precision_loss, reason = "epochs are far below 2^52")]
                let left = self.began.elapsed().as_secs_f64() / (epoch + 1 - self.first) as f64
                    * (self.epochs - epoch - 1) as f64;
                self.output.note(format!(
                    "epoch {}/{}  loss {:.4}  potential rise {:.4}  entropy rise {:.4}  {left:.0} s left",
                    epoch + 1,
                    self.epochs,
                    record.loss.total(),
                    record.potential_rise,
                    record.entropy_rise,
                ));
            }
            _ => {}
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
