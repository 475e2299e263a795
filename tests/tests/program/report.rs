//! Tests the report in a browser: all figures are drawn and react to mouse and keyboard, nothing is loaded from the
//! network, and there are no error messages.
//!
//! A copy of the page with `report.js` at its end is opened in headless Chromium, and the resulting document is read.
//! `SCLSD_TEST_CHROMIUM` names the browser if it is not called `chromium`.

use std::path::Path;
use std::process::Command;

use sclsd_tests::fixture;
use serde_json::Value;

use super::{SMALL, command, sclsd, succeed};

/// Trains a short run. Writes the result and its model.
fn result(directory: &Path) {
    let input = fixture("prepared.h5ad").display().to_string();
    let mut arguments = vec!["train", &input, "-o", "result.h5ad", "--model", "model.safetensors", "--epochs", "2"];
    arguments.extend(&SMALL[..10]); // this file calls its prior time dpt_pseudotime
    succeed(directory, &arguments);
}

/// Path of a browser. If there is none, prints a line and returns `None`.
fn browser() -> Option<String> {
    let name = std::env::var("SCLSD_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".into());
    match Command::new(&name).arg("--version").output() {
        Ok(output) if output.status.success() => Some(name),
        _ => {
            sclsd_tests::print_always(&format!(
                "SKIPPED: no {name} to open the report in; name a Chromium in SCLSD_TEST_CHROMIUM"
            ));
            None
        }
    }
}

/// The findings of `report.js` on the page, in a window of this width.
fn visit(browser: &str, directory: &Path, page: &str, width: u32) -> Value {
    // When printing, the browser provides only two animation frames. Use a timer for the others.
    let listen = "<script>window.requestAnimationFrame = (f) => setTimeout(() => f(performance.now()), 16); \
                  const errors = []; addEventListener('error', (e) => errors.push(e.message)); \
                  console.error = console.warn = (...words) => errors.push(words.join(' '));</script>";
    let html = page.replacen("<head>", &format!("<head>{listen}"), 1);
    let html = html.replacen("</body>", &format!("<script>{}</script></body>", include_str!("report.js")), 1);
    // A window has a minimum width, but a frame inside it has none.
    let inside = html.replace('&', "&amp;").replace('"', "&quot;");
    let outside =
        format!("<body><iframe style=\"border:0;width:{width}px;height:900px\" srcdoc=\"{inside}\"></iframe></body>");
    let path = directory.join(format!("visited-{width}.html"));
    std::fs::write(&path, outside).expect("a page to visit");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg("--window-size=1400,1000")
        .arg(format!("--user-data-dir={}", directory.join("profile").display()))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout);
    let verdict = dom.split("<pre id=\"verdict\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let verdict = verdict.unwrap_or_else(|| panic!("no verdict: {}", String::from_utf8_lossy(&output.stderr)));
    let plain = verdict.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&plain).expect("JSON")
}

#[test]
fn the_report_draws_every_figure_and_answers_in_a_browser_wide_and_narrow() {
    let Some(browser) = browser() else { return };
    let directory = tempfile::tempdir().unwrap();
    result(directory.path());
    succeed(directory.path(), &["report", "result.h5ad", "--model", "model.safetensors", "-o", "report.html"]);
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    for width in [1280, 390] {
        let found = visit(&browser, directory.path(), &page, width);
        let number = |key: &str| found[key].as_f64().unwrap_or_else(|| panic!("{key} in {found}"));
        assert_eq!(found["errors"], serde_json::json!([]), "at {width}: {found}");
        assert!((number("width") - f64::from(width)).abs() < 1.0, "the window is as wide as asked for: {found}");
        assert_eq!(found["loaded"], serde_json::json!([]), "nothing is loaded");
        assert_eq!(found["drawn"], "yes");
        assert!(number("map") > 0.005 && number("surface") > 0.02, "canvases are not empty: {found}");
        let sections = ["audit", "facts", "cells", "landscape", "fates", "trends", "training", "figures", "config"];
        for section in sections {
            assert!(found["sections"].as_array().unwrap().iter().any(|s| s == section), "{section} in {found}");
        }
        assert!(number("fate_panels") >= 2.0 && number("curves") >= 8.0 && number("trends") >= 6.0, "{found}");
        assert!(number("legend") >= 2.0 && number("facts") >= 6.0 && number("bar") >= 1.0, "{found}");
        for answer in ["recolored", "zoomed", "whole", "bare", "turnedByKey", "turnedByHand", "moved", "otherPaper"] {
            assert_eq!(found[answer], true, "{answer} at {width}: {found}");
        }
        assert!(found["tip"].as_str().unwrap().contains("lsd_pseudotime: "), "{found}");
        assert!((number("added") - number("trends") - 1.0).abs() < 1e-9, "a gene was added");
        assert!(number("tooWide") <= 0.0, "nothing sticks out at {width}: {found}");
        assert!(number("unnamed") < 1.0, "every control has a name");
    }
}

#[test]
fn a_report_without_a_model_says_what_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    result(directory.path());
    succeed(directory.path(), &["report", "result.h5ad", "-o", "report.html", "--title", "A <b> & c"]);
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("there are no trajectories") && page.contains("<title>A &lt;b&gt; &amp; c</title>"));
    assert!(page.len() < 2_000_000 && !page.contains("https://"));
}

#[test]
fn every_kind_of_picture_is_drawn_from_a_result() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    result(at);
    succeed(
        at,
        &["fates", "result.h5ad", "--model", "model.safetensors", "--cluster-key", "clusters", "-o", "fates.h5ad"],
    );
    let genes = succeed(at, &["--json", "inspect", "result.h5ad"]);
    assert!(!genes.is_empty());
    let model = ["--model", "model.safetensors"];
    let pictures: [(&str, &str, &[&str]); 12] = [
        ("fate-probabilities", "fates.h5ad", &[]),
        ("fate-circle", "fates.h5ad", &[]),
        ("embedding", "fates.h5ad", &["--color", "fate_entropy"]),
        ("embedding", "result.h5ad", &[]),
        ("stream", "result.h5ad", &["--color", "lsd_pseudotime"]),
        ("stream", "result.h5ad", &["--velocity", "drift", "--color-by-speed"]),
        ("landscape", "result.h5ad", &model),
        ("landscape", "result.h5ad", &["--surface", "--azimuth", "-30"]),
        ("walks", "result.h5ad", &model),
        ("components", "result.h5ad", &model),
        ("loss", "result.h5ad", &[]),
        ("fates", "fates.h5ad", &["--cluster-key", "clusters"]),
    ];
    for (kind, file, more) in pictures {
        for end in ["svg", "png"] {
            let name = format!("{kind}.{end}");
            let arguments: Vec<&str> =
                ["plot", kind, file, "-o", &name].into_iter().chain(more.iter().copied()).collect();
            succeed(at, &arguments);
            let bytes = std::fs::read(at.join(&name)).unwrap();
            let start: &[u8] = if end == "svg" { b"<svg" } else { b"\x89PNG" };
            assert!(bytes.starts_with(start) && bytes.len() > 2_000, "{name}: {} bytes", bytes.len());
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_an_error_that_names_the_culprit() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    result(at);
    let cases: [(&[&str], &str); 7] = [
        (&["--kind", "fate-circle", "-o", "x.svg"], "obsm[\"fate_probabilities\"] is missing"),
        (&["--kind", "embedding", "-o", "x.jpeg"], "x.jpeg is neither .svg nor .png"),
        (&["--kind", "embedding", "--color", "lsd_pseudotim", "-o", "x.svg"], "neither a column of obs nor a gene"),
        (&["--kind", "embedding", "--basis", "X_tsne", "-o", "x.svg"], "obsm[\"X_tsne\"]"),
        (&["--kind", "fates", "-o", "x.svg"], "obs[\"fate\"]"),
        (
            &["--kind", "walks", "--clusters", "Nobody", "--cluster-key", "clusters", "-o", "x.svg"],
            "cluster \"Nobody\"",
        ),
        (&["--kind", "stream", "--density", "0", "-o", "x.svg"], "--density is 0"),
    ];
    for (arguments, expected) in cases {
        let all: Vec<&str> = ["plot", "result.h5ad"].into_iter().chain(arguments.iter().copied()).collect();
        let output = sclsd(at, &all);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(expected) && errors.lines().count() == 1, "{arguments:?}: {errors}");
        assert!(!at.join("x.svg").exists() && !at.join("x.jpeg").exists());
    }
    let output = command(at, &["plot", "model.safetensors", "--kind", "perturb", "-o", "x.svg"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "no table at all");
}
