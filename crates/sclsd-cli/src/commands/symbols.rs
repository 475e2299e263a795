//! Finds genes by their symbols in files that name genes by other ids, such as Ensembl ids.

use std::path::Path;

use anyhow::bail;
use sclsd::data::{Column, H5ad, Keys, closest_names, did_you_mean};

/// The names in the file of the genes `wanted`, which may be symbols if `column` of var is given. A name that no gene
/// has is returned unchanged, and the later look-up fails; but if a column of var has that name, the error here says
/// so.
pub(super) fn names(input: &Path, wanted: &[String], column: Option<&str>) -> anyhow::Result<Vec<String>> {
    let file = H5ad::open(input)?;
    let all = file.read(&Keys::none())?.var.names;
    let shown = input.display();
    let read = |key: &str| -> anyhow::Result<Vec<Option<String>>> {
        let data = file.read(&Keys { var: vec![key.to_owned()], ..Keys::none() })?;
        Ok(match data.var.get(key) {
            Some(Column::String(values)) => values.clone(),
            Some(Column::Categorical(groups)) => {
                (0..all.len()).map(|row| groups.name(row).map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        })
    };
    let with = |symbols: &[Option<String>], symbol: &str| -> Vec<String> {
        symbols.iter().zip(&all).filter(|(s, _)| s.as_deref() == Some(symbol)).map(|(_, name)| name.clone()).collect()
    };
    if let Some(column) = column {
        let symbols = read(column)?;
        if symbols.is_empty() && !all.is_empty() {
            bail!(
                "{shown}: var[\"{column}\"] is not a column of text; name a column of gene symbols with --gene-symbols"
            );
        }
        let found = |symbol: &String| match &with(&symbols, symbol)[..] {
            [name] => Ok(name.clone()),
            [] if all.contains(symbol) => Ok(symbol.clone()),
            [] => {
                let symbols: Vec<String> = symbols.iter().flatten().cloned().collect();
                let near = did_you_mean(&closest_names(symbol, &symbols));
                bail!("{shown}: no gene is named {symbol}, and var[\"{column}\"] has none of that symbol{near}")
            }
            several => bail!(
                "{shown}: var[\"{column}\"] has {symbol} for {} genes ({}); name one of them",
                several.len(),
                several.join(", ")
            ),
        };
        return wanted.iter().map(found).collect();
    }
    let unknown: Vec<&String> = wanted.iter().filter(|name| !all.contains(name)).collect();
    if !unknown.is_empty() {
        for key in file.keys()?.var {
            let symbols = read(&key).unwrap_or_default();
            if let Some((symbol, name)) =
                unknown.iter().find_map(|symbol| with(&symbols, symbol).first().cloned().map(|name| (symbol, name)))
            {
                bail!(
                    "{shown}: no gene is named {symbol}, but var[\"{key}\"] has this symbol for gene {name}; give --gene-symbols {key}"
                );
            }
        }
        for symbol in unknown {
            let named = !closest_names(symbol, &all).is_empty();
            for key in file.keys()?.var {
                let symbols: Vec<String> = read(&key).unwrap_or_default().into_iter().flatten().collect();
                let near = closest_names(symbol, &symbols);
                let same = near.first().is_some_and(|near| near.to_lowercase() == symbol.to_lowercase());
                if same || !(named || near.is_empty()) {
                    let near = near.join(", ");
                    bail!(
                        "{shown}: no gene is named {symbol}; the closest names in var[\"{key}\"] are {near}: give \
                         --gene-symbols {key}"
                    );
                }
            }
        }
    }
    Ok(wanted.to_vec())
}
