//! Figures at the end of a command: aligned lines for people, one JSON object for machines.

use serde_json::{Map, Value};

use crate::progress::Output;

/// Named figures in the order they are to be read.
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

    /// A real number that may not be there, with the reason why it is not.
    pub(crate) fn optional(&mut self, name: &str, value: Option<f64>, decimals: usize, absent: &str) {
        let shown = value.map_or_else(|| absent.to_owned(), |v| format!("{v:.decimals$}"));
        self.rows.push((name.to_owned(), shown, Value::from(value)));
    }

    /// Several values under one name: one line of text, any JSON.
    pub(crate) fn nested(&mut self, name: &str, shown: String, value: Value) {
        self.rows.push((name.to_owned(), shown, value));
    }

    /// A value for machines alone.
    pub(crate) fn hidden(&mut self, name: &str, value: Value) {
        self.rows.push((name.to_owned(), String::new(), value));
    }

    /// A path or a name.
    pub(crate) fn text(&mut self, name: &str, value: impl std::fmt::Display) {
        self.rows.push((name.to_owned(), value.to_string(), Value::from(value.to_string())));
    }

    /// Prints them on standard output.
    #[expect(clippy::print_stdout, reason = "this is what the program is run for")]
    pub(crate) fn print(self, output: Output) {
        if output.json {
            let object: Map<String, Value> = self.rows.into_iter().map(|(n, _, v)| (n.replace(' ', "_"), v)).collect();
            println!("{}", Value::Object(object));
        } else if !output.quiet {
            let width = self.rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
            for (name, shown, _) in self.rows.into_iter().filter(|row| !row.1.is_empty()) {
                let line = format!("{name:<width$}  {shown}");
                let lines: Vec<&str> = line.lines().map(str::trim_end).collect();
                println!("{}", lines.join("\n"));
            }
        }
    }
}
