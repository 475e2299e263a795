//! Edges between clusters, from parent to child: given as text, given as JSON, or stored in a result.

use std::path::Path;

use anyhow::{Context, bail};
use sclsd::data::{Categorical, Dataset, Uns};
use serde_json::Value;

use super::reading::read_text;
use super::record::Record;

/// Edges from a cluster to one that it gives rise to.
pub(super) type Edges = Vec<(String, String)>;

/// Element of uns with edges.
pub(super) const STORED: &str = "cluster_edges";

/// Edges of the command line: `A>B,B>C`, or a JSON file, in which names may hold commas.
pub(super) fn parse(text: &str) -> anyhow::Result<Edges> {
    let path = Path::new(text);
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        return from_json(&read_text(path)?).with_context(|| text.to_owned());
    }
    let edge = |part: &str| match part.split('>').collect::<Vec<_>>()[..] {
        [from, to] if !from.trim().is_empty() && !to.trim().is_empty() => {
            Ok((from.trim().to_owned(), to.trim().to_owned()))
        }
        _ => bail!(
            "--edges: \"{part}\" is not an edge, expected A>B; names with commas or > go into a .json file of \
             {{\"parent\": [\"child\", …], …}}"
        ),
    };
    text.split(',').map(edge).collect()
}

/// `{"parent": ["child", …], …}`, as `--phylogeny` takes it, or `[["parent", "child"], …]`.
fn from_json(text: &str) -> anyhow::Result<Edges> {
    let form = "expected JSON of the form {\"parent\": [\"child\", …], …} or [[\"parent\", \"child\"], …]";
    let value: Value = serde_json::from_str(text).with_context(|| form.to_owned())?;
    let name = |value: &Value| value.as_str().map(str::to_owned).context(form);
    let mut edges = Vec::new();
    match &value {
        Value::Object(children) => {
            for (parent, all) in children {
                for child in all.as_array().context(form)? {
                    edges.push((parent.clone(), name(child)?));
                }
            }
        }
        Value::Array(pairs) => {
            for pair in pairs {
                match pair.as_array().map(Vec::as_slice) {
                    Some([from, to]) => edges.push((name(from)?, name(to)?)),
                    _ => bail!(form),
                }
            }
        }
        _ => bail!(form),
    }
    if edges.is_empty() {
        bail!("the file names no edge; {form}");
    }
    Ok(edges)
}

/// The edges of a result between known clusters: those of the run's phylogeny, or else those in uns `cluster_edges`;
/// none if that element has another form.
pub(super) fn of_result(record: Option<&Record>, data: &Dataset, clusters: &Categorical) -> Edges {
    let known = |(from, to): &(String, String)| [from, to].iter().all(|name| clusters.categories().contains(name));
    let of_tree: Edges = record
        .and_then(|record| record.phylogeny.as_ref())
        .into_iter()
        .flat_map(|tree| tree.children().iter())
        .flat_map(|(parent, all)| all.iter().map(move |child| (parent.clone(), child.clone())))
        .filter(known)
        .collect();
    if !of_tree.is_empty() {
        return of_tree;
    }
    match data.uns.get(STORED) {
        Some(Uns::Texts(shape, names)) if shape.len() == 2 && shape[1] == 2 => {
            let pairs = names.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            pairs.filter(known).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(all: &[(&str, &str)]) -> Edges {
        all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn edges_are_text_or_json_of_either_form() {
        assert_eq!(parse("A>B, B > C").unwrap(), edges(&[("A", "B"), ("B", "C")]));
        assert_eq!(from_json(r#"{"T, naive": ["T>"]}"#).unwrap(), edges(&[("T, naive", "T>")]));
        assert_eq!(from_json(r#"[["A", "B"]]"#).unwrap(), edges(&[("A", "B")]));
        for wrong in ["A-B", "A>", "A>B>C", ""] {
            assert!(parse(wrong).unwrap_err().to_string().contains("expected A>B"), "{wrong}");
        }
        for wrong in ["3", "{", "[[\"A\"]]", "{\"A\": 3}", "{}"] {
            assert!(format!("{:#}", from_json(wrong).unwrap_err()).contains("expected JSON of the form"), "{wrong}");
        }
    }
}
