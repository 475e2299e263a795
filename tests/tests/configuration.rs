//! Checks that `docs/configuration.md` matches the types, which it is generated from with `SCLSD_UPDATE_DOCS=1`.

use std::fmt::Write;
use std::path::Path;

use schemars::schema_for;
use sclsd::infer::{DataScale, TrainSpec};
use serde_json::Value;

const HEAD: &str = "# Configuration

Everything that can be chosen about a training run. A TOML or JSON file (`sclsd train --config FILE`) has these keys in
tables, `--set walks.path_len=20` sets one of them, and an unknown key is an error that lists the known ones. They are
set on top of a preset: `--preset recommended`, which is the default and follows from the data (here: 1,000 cells, 10
steps from a leaf), or `--preset reference`, the Python package's settings. The names are the Python package's. This
page is made from the types in the source, and a test keeps it so.

```toml
num_epochs = 100

[walks]
path_len = 30
batch_size = 64

[optimizer.adam]
lr = 0.002
schedule = \"cosine\"
T_0 = 100
```
";

/// The definition that a schema refers to, or the schema itself.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => &root["$defs"][path.trim_start_matches("#/$defs/")],
        None => schema,
    }
}

fn described(schema: &Value, resolved: &Value) -> String {
    let own = schema["description"].as_str().or(resolved["description"].as_str()).unwrap_or_default();
    let mut text = own.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(options) = resolved["oneOf"].as_array() {
        for option in options {
            let name = option["const"].as_str().or(option["enum"][0].as_str()).unwrap_or_default();
            let about =
                option["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = write!(text, " `\"{name}\"`: {about}");
        }
    }
    text.replace('|', "\\|")
}

/// The text in lines of at most 120 characters, as all Markdown here.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 120 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn table(page: &mut String, path: &str, schema: &Value, [recommended, reference]: [&Value; 2], root: &Value) {
    let shown = |value: &Value| if value.is_null() { "none".to_owned() } else { value.to_string() };
    let (mut rows, mut tables) = (String::new(), Vec::new());
    for (name, field) in schema["properties"].as_object().expect("a table of keys") {
        let resolved = resolve(field, root);
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if resolved["properties"].is_object() {
            tables.push((key, resolved, [&recommended[name], &reference[name]]));
        } else {
            let (recommended, reference) = (shown(&recommended[name]), shown(&reference[name]));
            let _ = writeln!(rows, "| `{key}` | `{recommended}` | `{reference}` | {} |", described(field, resolved));
        }
    }
    let title = if path.is_empty() { "The run".to_owned() } else { format!("`[{path}]`") };
    let about = if path.is_empty() { String::new() } else { described(schema, schema) };
    if !rows.is_empty() {
        let _ = write!(page, "\n## {title}\n\n");
        if !about.is_empty() {
            let _ = write!(page, "{}\n\n", wrapped(&about));
        }
        let _ = write!(page, "| key | recommended | reference | meaning |\n| --- | --- | --- | --- |\n{rows}");
    }
    for (key, schema, values) in tables {
        table(page, &key, schema, values, root);
    }
}

#[test]
fn the_reference_of_the_configuration_says_what_the_types_say() {
    let schema = serde_json::to_value(schema_for!(TrainSpec)).unwrap();
    let recommended = serde_json::to_value(TrainSpec::recommended(&DataScale::unknown())).unwrap();
    let reference = serde_json::to_value(TrainSpec::reference()).unwrap();
    let mut page = HEAD.to_owned();
    table(&mut page, "", &schema, [&recommended, &reference], &schema);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    if std::env::var_os("SCLSD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, page, "make it anew with SCLSD_UPDATE_DOCS=1 cargo test --workspace --test configuration");
}

#[test]
fn every_message_that_troubleshooting_explains_is_one_the_program_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    // A string may be broken over several source lines, and quotes in it are escaped.
    let sources = sources.replace("\\\n", "").replace("\\\"", "\"").split_whitespace().collect::<Vec<_>>().join(" ");
    let page = std::fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let messages: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(messages.len() >= 10, "{messages:?}");
    for message in messages {
        for part in message.split('…').map(str::trim).filter(|part| !part.is_empty()) {
            assert!(sources.contains(part), "no source says \"{part}\"");
        }
    }
}
