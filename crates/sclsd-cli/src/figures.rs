//! Figures at the end of a command: aligned lines for people, one JSON object for machines.

use serde_json::{Map, Value};

use crate::progress::Output;
use crate::{escape, standard};

/// Version of what `--json` prints (docs/formats.md).
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Named figures, in the order of printing.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: Vec<(String, String, Value)>,
}

impl Figures {
    /// A real number, shown with so many decimals.
    pub(crate) fn number(&mut self, name: &str, value: f64, decimals: usize) {
        self.rows.push((name.to_owned(), format!("{value:.decimals$}"), Value::from(value)));
    }

    /// A count.
    pub(crate) fn count(&mut self, name: &str, value: usize) {
        self.rows.push((name.to_owned(), value.to_string(), Value::from(value)));
    }

    /// A real number that may be missing, with the reason why.
    pub(crate) fn optional(&mut self, name: &str, value: Option<f64>, decimals: usize, absent: &str) {
        let shown = value.map_or_else(|| absent.to_owned(), |v| format!("{v:.decimals$}"));
        self.rows.push((name.to_owned(), shown, Value::from(value)));
    }

    /// Several values under one name: lines of text, in which names are escaped, and any JSON.
    pub(crate) fn nested(&mut self, name: &str, shown: String, value: Value) {
        self.rows.push((name.to_owned(), shown, value));
    }

    /// A value that only the JSON has.
    pub(crate) fn hidden(&mut self, name: &str, value: Value) {
        self.rows.push((name.to_owned(), String::new(), value));
    }

    /// A path or a name.
    pub(crate) fn text(&mut self, name: &str, value: impl std::fmt::Display) {
        let text = value.to_string();
        self.rows.push((name.to_owned(), escape::line(&text).into_owned(), Value::from(text)));
    }

    /// Prints the figures on standard output. They are the result of the command, so `--quiet` does not silence them.
    pub(crate) fn print(self, output: Output) -> anyhow::Result<()> {
        if output.json {
            let mut object: Map<String, Value> =
                self.rows.into_iter().map(|(n, _, v)| (n.replace(' ', "_"), v)).collect();
            object.insert("format_version".into(), FORMAT_VERSION.into());
            if output.beside {
                standard::complain(&escape::json(&Value::Object(object).to_string()));
                return Ok(());
            }
            return standard::print_json(&Value::Object(object));
        }
        let width = self.rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
        for (name, shown, _) in self.rows.into_iter().filter(|row| !row.1.is_empty()) {
            let line = format!("{name:<width$}  {shown}");
            let lines: Vec<&str> = line.split('\n').map(str::trim_end).collect();
            if output.beside {
                lines.into_iter().for_each(|line| output.note(line));
            } else {
                standard::print(&lines.join("\n"))?;
            }
        }
        Ok(())
    }
}
