//! Configuration: a preset, then a file, then `--set`, then flags of their own.

use std::path::Path;

use anyhow::{Context, bail};
use sclsd::data::plain_reason;
use sclsd::infer::TrainSpec;
use serde_json::Value;

/// The specification of a preset, overridden by a file and then by single settings.
pub(crate) fn read(preset: &TrainSpec, file: Option<&Path>, settings: &[String]) -> anyhow::Result<TrainSpec> {
    let mut value = serde_json::to_value(preset)?;
    if let Some(path) = file {
        let shown = path.display();
        merge(&mut value, parse_file(path)?, "").with_context(|| shown.to_string())?;
    }
    for setting in settings {
        let Some((key, text)) = setting.split_once('=') else {
            bail!("--set {setting}: expected key=value, such as walks.path_len=20");
        };
        // a value that is not JSON is text: keys.time=prior_time needs no quotes
        let leaf = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let nested = key.rsplit('.').fold(leaf, |value, part| Value::from_iter([(part.to_owned(), value)]));
        merge(&mut value, nested, "").with_context(|| format!("--set {setting}"))?;
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, inner) = (error.path().to_string(), error.into_inner());
        anyhow::anyhow!("configuration key {path}: {inner}")
    })
}

fn parse_file(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display();
    let text = read_text(path).map_err(|error| anyhow::anyhow!("{shown} cannot be read: {}", plain_reason(&error)))?;
    let parsed = match path.extension().and_then(|e| e.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Some("toml") => toml::from_str(&text).map_err(|error| error.message().to_owned()),
        _ => bail!("{shown}: a configuration is a .toml or .json file"),
    };
    parsed.map_err(|error| anyhow::anyhow!("{shown} is not well-formed: {error}"))
}

/// Bytes that no configuration needs.
const LARGE: u64 = 1 << 24;

/// The text of a regular file of at most [`LARGE`] bytes; a pipe or a device might never end.
fn read_text(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    if metadata.len() > LARGE {
        return Err(std::io::Error::other("it is larger than 16 MiB, which no configuration is"));
    }
    std::fs::read_to_string(path)
}

/// Overrides values of `old`, which has all known keys, by those of `new`.
fn merge(old: &mut Value, new: Value, path: &str) -> anyhow::Result<()> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let Some(slot) = old.get_mut(&key) else {
                    let known: Vec<&str> = old.keys().map(String::as_str).collect();
                    let place = if path.is_empty() { "the configuration" } else { path };
                    bail!("unknown configuration key {here}; {place} has {}", known.join(", "));
                };
                merge(slot, value, &here)?;
            }
            Ok(())
        }
        (Value::Object(_), other) => bail!("configuration key {path} is {other}, expected a table of keys"),
        (slot, value) => {
            *slot = value;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str]) -> anyhow::Result<TrainSpec> {
        read(&TrainSpec::default(), None, &settings.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn settings_replace_defaults_by_path() {
        let spec = set(&["walks.path_len=20", "keys.time=prior_time", "optimizer.adam.T_0=7"]).unwrap();
        assert_eq!((spec.walks.path_len, spec.keys.time.as_str(), spec.optimizer.adam.t_0), (20, "prior_time", 7));
        assert_eq!(spec.model, TrainSpec::default().model);
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_errors_that_name_them() {
        let message = |setting: &str| format!("{:#}", set(&[setting]).unwrap_err());
        assert_eq!(
            message("walks.length=3"),
            "--set walks.length=3: unknown configuration key walks.length; \
             walks has balanced, batch_size, held_out, num_walks, path_len, random_state"
        );
        assert!(message("model.z_dim=ten").starts_with("configuration key model.z_dim: invalid type: string \"ten\""));
        assert!(message("model=3").contains("configuration key model is 3, expected a table of keys"));
        assert!(message("model").contains("expected key=value"));
    }

    #[cfg(unix)]
    #[test]
    fn a_configuration_that_never_ends_is_an_error() {
        let read =
            |path: &str| format!("{:#}", super::read(&TrainSpec::default(), Some(Path::new(path)), &[]).unwrap_err());
        assert_eq!(read("/dev/zero"), "/dev/zero cannot be read: it is not a regular file");
    }

    #[test]
    fn a_toml_file_and_a_json_file_say_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let (toml, json) = (directory.path().join("a.toml"), directory.path().join("a.json"));
        std::fs::write(&toml, "num_epochs = 3\n[model]\nz_dim = 4\n").unwrap();
        std::fs::write(&json, r#"{"num_epochs": 3, "model": {"z_dim": 4}}"#).unwrap();
        let read = |path: &Path| super::read(&TrainSpec::default(), Some(path), &[]).unwrap();
        assert_eq!(read(&toml), read(&json));
        assert_eq!((read(&toml).num_epochs, read(&toml).model.z_dim), (3, 4));
    }
}
