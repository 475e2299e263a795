//! Runs every command of the first tutorial in the book exactly as it is printed.

use std::path::Path;

use super::succeed;

#[test]
fn every_command_of_the_first_tutorial_runs_as_it_stands() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tutorial-simulated.md");
    let page = std::fs::read_to_string(page).expect("the tutorial");
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("$ sclsd ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let directory = tempfile::tempdir().expect("a directory");
    for command in commands {
        succeed(directory.path(), &command.split_whitespace().collect::<Vec<_>>());
    }
    for file in ["cells.h5ad", "result.h5ad", "model.safetensors", "report.html", "stream.svg"] {
        assert!(directory.path().join(file).exists(), "{file}");
    }
}

#[test]
fn every_page_of_the_book_is_there_and_every_link_between_pages_leads_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut pages = 0;
    for entry in std::fs::read_dir(&docs).expect("docs") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "md") {
            continue;
        }
        pages += 1;
        let text = std::fs::read_to_string(&path).expect("a page");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(docs.join(file).exists(), "{} links to {file}", path.display());
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).expect("a table of contents");
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the book");
    }
    assert!(pages > 10);
}
