//! Checks of the entire workspace: dependencies between crates, the first line of every file, error conversions,
//! package metadata, and licences of dependencies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};

use crate::imports::Crate;

/// Allowed dependencies between crates of the workspace: the layers of `ARCHITECTURE.md`. Dev-dependencies do not
/// count.
const LAYERS: [(&str, &[&str]); 15] = [
    ("sclsd-spec", &[]),
    ("sclsd-data", &["sclsd-spec"]),
    ("sclsd-graph", &["sclsd-data", "sclsd-spec"]),
    ("sclsd-ode", &["sclsd-spec"]),
    ("sclsd-kernels", &["sclsd-ode", "sclsd-spec"]),
    ("sclsd-gpu", &["sclsd-kernels", "sclsd-ode"]),
    ("sclsd-model", &["sclsd-kernels", "sclsd-ode", "sclsd-spec"]),
    ("sclsd-infer", &["sclsd-data", "sclsd-graph", "sclsd-model", "sclsd-spec"]),
    ("sclsd-analysis", &["sclsd-data", "sclsd-graph", "sclsd-model", "sclsd-spec"]),
    ("sclsd-plot", &["sclsd-data", "sclsd-analysis", "sclsd-spec"]),
    (
        "sclsd",
        &[
            "sclsd-data",
            "sclsd-graph",
            "sclsd-gpu",
            "sclsd-model",
            "sclsd-infer",
            "sclsd-analysis",
            "sclsd-plot",
            "sclsd-spec",
        ],
    ),
    ("sclsd-cli", &["sclsd"]),
    ("sclsd-tests", &["sclsd", "sclsd-cli"]),
    ("sclsd-benches", &["sclsd", "sclsd-cli"]),
    ("xtask", &[]),
];

/// Crates that must not depend on tensors.
const NO_BURN: [&str; 5] = ["sclsd-data", "sclsd-graph", "sclsd-kernels", "sclsd-plot", "sclsd-spec"];

/// Crates of Burn's GPU backends. Only `sclsd-gpu` may depend on them.
const GPU: [&str; 2] = ["burn-cubecl", "cubek"];

/// Allowed licences of dependencies. A choice ("OR") needs one of them, a conjunction ("AND") all of them.
const LICENSES: [&str; 16] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "Unicode-3.0",
    "NCSA",
    "bzip2-1.0.6",
];

/// Dependencies with another licence, each with the reason for the exception.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("colored", "Burn's own dependency; MPL-2.0 covers its files only, used unchanged"),
    ("option-ext", "of Burn's GPU backends; MPL-2.0 covers its files only, used unchanged"),
];

/// All complaints; empty if all checks pass.
///
/// # Panics
/// If `cargo metadata` or `cargo tree` does not run.
#[must_use]
pub fn all() -> Vec<String> {
    let metadata = metadata();
    [
        layers(&metadata),
        imports(&metadata),
        licenses(),
        front_pages(&metadata),
        errors(&metadata),
        packages(&metadata),
        pins(),
        wide_lines(),
    ]
    .concat()
}

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).exec().expect("cargo metadata")
}

fn layers(metadata: &Metadata) -> Vec<String> {
    let mut complaints = Vec::new();
    let members: Vec<_> = metadata.workspace_packages();
    let ours: BTreeSet<&str> = members.iter().map(|p| p.name.as_str()).collect();
    for package in &members {
        let name = package.name.as_str();
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            complaints.push(format!("{name} is not in the table of layers (xtask/src/tidy.rs)"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            let to = dependency.name.as_str();
            if ours.contains(to) && !allowed.contains(&to) {
                complaints.push(format!("{name} depends on {to}, which the layers do not allow"));
            }
            if NO_BURN.contains(&name) && to.starts_with("burn") {
                complaints.push(format!("{name} depends on {to}, but is to know nothing of tensors"));
            }
            if GPU.contains(&to) && name != "sclsd-gpu" {
                complaints.push(format!("{name} depends on {to}, which is sclsd-gpu's"));
            }
            let backend = dependency.features.iter().any(|f| ["flex", "ndarray", "cuda", "wgpu"].contains(&f.as_str()));
            if backend && !["sclsd", "sclsd-cli", "sclsd-tests", "sclsd-benches"].contains(&name) {
                complaints.push(format!("{name} names a backend; backends are features of sclsd and sclsd-cli"));
            }
        }
    }
    complaints
}

/// Characters in a line of prose.
const WIDTH: usize = 120;

/// Comments and Markdown wrap at [`WIDTH`]; tables and blocks of code need not, nor does a single word that is longer.
fn wide_lines() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut complaints = Vec::new();
    for path in prose(&root) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let shown = path.strip_prefix(&root).unwrap_or(&path);
        let rust = path.extension().is_some_and(|extension| extension == "rs");
        let mut code = false;
        for (number, line) in (1..).zip(text.lines()) {
            let comment =
                || line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim());
            let Some(words) = (if rust { comment() } else { Some(line.trim()) }) else { continue };
            code ^= words.starts_with("```");
            if !code && line.chars().count() > WIDTH && words.contains(' ') && !words.starts_with('|') {
                complaints.push(format!("{}:{number} is wider than {WIDTH} characters", shown.display()));
            }
        }
    }
    complaints
}

/// Files of Rust and Markdown in the repository, built ones left out.
fn prose(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let hidden = |path: &Path| {
        path.file_name().is_some_and(|name| ["target", "book"].iter().any(|n| name == *n))
            || path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    entries
        .filter(|path| !hidden(path))
        .flat_map(|path| if path.is_dir() { prose(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs" || extension == "md"))
        .collect()
}

/// Uses `cargo tree`, which lists only what is compiled; `cargo metadata` also lists dependencies of inactive features.
fn licenses() -> Vec<String> {
    let bad = |license: &str| {
        let choice = |part: &str| LICENSES.contains(&part.trim().trim_matches(['(', ')']));
        let license = license.replace('/', " OR ");
        !license.split(" AND ").all(|needed| needed.split(" OR ").any(choice))
    };
    let arguments =
        ["tree", "--workspace", "--all-features", "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{l}"];
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree =
        Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo tree");
    let tree = String::from_utf8_lossy(&tree.stdout);
    let packages: BTreeSet<(&str, &str)> = tree.lines().filter_map(|line| line.split_once('|')).collect();
    assert!(packages.len() > 100, "cargo tree lists the dependencies");
    let excepted = |package: &str| EXCEPTIONS.iter().any(|(name, _)| package.starts_with(&format!("{name} v")));
    packages
        .into_iter()
        .map(|(package, license)| (package, license.trim_end_matches(" (*)")))
        .filter(|(package, license)| bad(license) && !excepted(package))
        .map(|(package, license)| format!("{package} comes under \"{license}\""))
        .collect()
}

/// Every library and program of the workspace with its modules.
fn crates(metadata: &Metadata) -> Vec<(String, Crate)> {
    let mut all = Vec::new();
    for package in metadata.workspace_packages() {
        for target in
            package.targets.iter().filter(|t| t.kind.iter().any(|k| [TargetKind::Lib, TargetKind::Bin].contains(k)))
        {
            all.push((target.name.clone(), Crate::read(target.src_path.as_std_path())));
        }
    }
    all
}

fn imports(metadata: &Metadata) -> Vec<String> {
    let of = |(name, all): (String, Crate)| {
        all.complaints().into_iter().map(move |complaint| format!("{name}: {complaint}")).collect::<Vec<_>>()
    };
    crates(metadata).into_iter().flat_map(of).collect()
}

/// Number of lines and imports of every crate, and forbidden imports.
#[must_use]
pub fn imports_table() -> String {
    let metadata = metadata();
    let mut table = Vec::new();
    for (name, all) in crates(&metadata) {
        table.push(format!("{name}: {} lines", all.lines()));
        for (from, to) in all.imports().iter().filter(|(_, to)| !to.is_empty()) {
            table.push(format!("  {from} <- {}", to.iter().cloned().collect::<Vec<_>>().join(", ")));
        }
    }
    let complaints = imports(&metadata);
    table.push(format!("{} imports run back up or in a circle", complaints.len()));
    table.extend(complaints);
    table.join("\n")
}

fn front_pages(metadata: &Metadata) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        let root = package.manifest_path.parent().expect("a manifest is in a directory");
        for file in rust_files(root.as_std_path()) {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let first = text.lines().next().unwrap_or_default();
            if !first.starts_with("//! ") || first.trim().len() < 10 {
                complaints.push(format!("{} does not open by saying what it is (//! …)", file.display()));
            }
        }
    }
    complaints
}

/// Checks that every public error of a library crate converts into `sclsd::Error`.
fn errors(metadata: &Metadata) -> Vec<String> {
    let root = metadata.workspace_root.join("crates");
    let all = std::fs::read_to_string(root.join("sclsd/src/error.rs")).unwrap_or_default();
    let converted: BTreeSet<&str> =
        all.split("#[from] ").skip(1).filter_map(|rest| rest.split(')').next()?.rsplit("::").next()).collect();
    let mut complaints = Vec::new();
    for file in rust_files(root.as_std_path()) {
        if file.starts_with(root.join("sclsd-cli")) || !file.components().any(|part| part.as_os_str() == "src") {
            continue;
        }
        for name in public_errors(&std::fs::read_to_string(&file).unwrap_or_default()) {
            if name != "Error" && !converted.contains(name.as_str()) {
                complaints.push(format!("{name} ({}) does not convert into sclsd::Error", file.display()));
            }
        }
    }
    complaints
}

/// Names of public types that derive `thiserror::Error`.
fn public_errors(text: &str) -> Vec<String> {
    let derived = text.split("#[derive(").skip(1).filter(|rest| {
        let list = rest.split(")]").next().unwrap_or_default();
        list.split(',').any(|derive| ["thiserror::Error", "Error"].contains(&derive.trim()))
    });
    let name = |rest: &str| {
        let line = rest.lines().find(|line| line.contains("enum ") || line.contains("struct "))?;
        let line = line.strip_prefix("pub enum ").or_else(|| line.strip_prefix("pub struct "))?;
        line.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned)
    };
    derived.filter_map(name).collect()
}

/// Checks the metadata and files that a published package must have.
fn packages(metadata: &Metadata) -> Vec<String> {
    let license = std::fs::read(metadata.workspace_root.join("LICENSE")).unwrap_or_default();
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages().into_iter().filter(|p| p.publish.is_none()) {
        let root = package.manifest_path.parent().expect("a manifest is in a directory");
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap_or_default();
        let has = [
            ("a description", package.description.as_ref().is_some_and(|d| d.len() > 20)),
            ("a license", package.license.is_some()),
            ("a README.md", package.readme.is_some() && root.join("README.md").exists()),
            ("keywords", !package.keywords.is_empty() && package.keywords.len() <= 5),
            ("categories", !package.categories.is_empty()),
            ("a list of what it includes", manifest.lines().any(|line| line.starts_with("include = "))),
            ("settings for docs.rs", manifest.contains("[package.metadata.docs.rs]")),
            ("the workspace's LICENSE", std::fs::read(root.join("LICENSE")).is_ok_and(|own| own == license)),
        ];
        let lacking = has.into_iter().filter(|(_, there)| !there);
        complaints.extend(lacking.map(|(what, _)| format!("{} lacks {what}", package.name)));
    }
    complaints
}

/// Exact versions (`=`) without a comment with the reason on the line before.
fn pins() -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let text = std::fs::read_to_string(manifest).expect("the workspace's manifest");
    let lines: Vec<&str> = text.lines().collect();
    let pinned = lines.windows(2).filter(|pair| pair[1].contains("\"=") && !pair[0].starts_with('#'));
    pinned.map(|pair| format!("no reason beside: {}", pair[1])).collect()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_depend_only_downwards() {
        assert_eq!(layers(&metadata()), Vec::<String>::new());
    }

    #[test]
    fn no_import_runs_back_up_or_in_a_circle() {
        assert_eq!(imports(&metadata()), Vec::<String>::new());
    }

    #[test]
    fn dependencies_come_under_permissive_licenses() {
        assert_eq!(licenses(), Vec::<String>::new());
    }

    #[test]
    fn every_error_converts_into_that_of_the_facade() {
        assert_eq!(errors(&metadata()), Vec::<String>::new());
        let text = "/// Why.\n#[derive(Debug, thiserror::Error)]\n#[error(\"no\")]\npub struct WhyError {}\n\
                    #[derive(Debug)]\npub enum Other {}\n#[derive(Debug, thiserror::Error)]\nenum Private {}\n";
        assert_eq!(public_errors(text), ["WhyError"]);
    }

    #[test]
    fn packages_have_what_a_registry_asks_for() {
        assert_eq!(packages(&metadata()), Vec::<String>::new());
    }

    #[test]
    fn comments_and_markdown_wrap_at_120_characters() {
        assert_eq!(wide_lines(), Vec::<String>::new());
    }

    #[test]
    fn exact_versions_have_a_reason_beside_them() {
        assert_eq!(pins(), Vec::<String>::new());
    }

    #[test]
    fn every_file_opens_by_saying_what_it_is() {
        assert_eq!(front_pages(&metadata()), Vec::<String>::new());
    }
}
