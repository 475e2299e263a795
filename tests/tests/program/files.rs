//! Input and output files never interfere with each other.

use std::path::Path;
use std::process::Command;

use crate::bad_input::{file, refused, train};
#[cfg(unix)]
use crate::signals::is_ignored;
use crate::{SMALL, command, sclsd, succeed};

/// Trains a model. Writes `in.h5ad`, the model `m.safetensors` and its results `result.h5ad`.
fn trained(d: &Path) {
    file(d, "in.h5ad", |_| {});
    succeed(d, &train("in.h5ad", &[]));
    std::fs::rename(d.join("out.h5ad"), d.join("result.h5ad")).expect("a result");
}

#[cfg(unix)]
fn link(d: &Path, to: &str, name: &str) {
    std::os::unix::fs::symlink(to, d.join(name)).expect("a link");
}

#[cfg(unix)]
#[test]
fn an_output_that_is_an_input_or_another_output_is_refused_before_any_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    std::fs::write(d.join("genes.txt"), "Gene01\n").expect("a list");
    std::fs::write(d.join("p.json"), r#"{"Stem": ["Fate A"]}"#).expect("a phylogeny");
    std::fs::hard_link(d.join("m.safetensors"), d.join("hard.st")).expect("a hard link");
    link(d, "in.h5ad", "link.h5ad");
    link(d, "new.st", "dangling.st");
    let kept = ["in.h5ad", "result.h5ad", "m.safetensors", "genes.txt", "p.json"];
    let bytes = || kept.map(|name| std::fs::read(d.join(name)).expect("a file"));
    let before = bytes();
    let destroyed = "are one file, which would be destroyed; give";
    let own = "are one file; give each a name of its own";
    for (arguments, parts) in [
        ("train in.h5ad -o x.bin --model x.bin", ["--model x.bin and -o x.bin", own]),
        ("train in.h5ad -o new.st --model dangling.st", ["--model dangling.st and -o new.st", own]),
        ("train in.h5ad -o out.h5ad --model in.h5ad", ["--model in.h5ad and INPUT in.h5ad", destroyed]),
        ("train in.h5ad -o out.h5ad --model link.h5ad", ["--model link.h5ad and INPUT in.h5ad", destroyed]),
        ("train in.h5ad -o p.json --model x.st --phylogeny p.json", ["-o p.json and --phylogeny p.json", destroyed]),
        ("annotate in.h5ad --model m.safetensors -o ./m.safetensors", ["-o ./m.safetensors and --model", destroyed]),
        ("fates result.h5ad --model m.safetensors -o hard.st", ["-o hard.st and --model m.safetensors", destroyed]),
        ("fates result.h5ad --model m.safetensors -o out.h5ad --hard --paths out.h5ad", ["--paths out.h5ad", own]),
        ("report result.h5ad -o result.h5ad", ["-o result.h5ad and INPUT result.h5ad", destroyed]),
        ("plot result.h5ad --kind loss -o ./result.h5ad", ["-o ./result.h5ad and INPUT result.h5ad", destroyed]),
        (
            "perturb result.h5ad --model m.safetensors --gene Gene01 --cluster-key clusters -o t.csv --cells-out ./t.csv",
            ["-o t.csv and --cells-out ./t.csv", own],
        ),
        ("convert m.safetensors m.safetensors", ["OUTPUT m.safetensors and INPUT m.safetensors", destroyed]),
        ("prepare in.h5ad -o genes.txt --genes genes.txt", ["-o genes.txt and --genes genes.txt", destroyed]),
    ] {
        refused(d, &arguments.split(' ').collect::<Vec<_>>(), &parts);
    }
    assert!(bytes() == before, "what was read is as it was");

    // a file may be replaced by its own result, under any of its names
    link(d, "result.h5ad", "again.h5ad");
    succeed(d, &["annotate", "result.h5ad", "--model", "m.safetensors", "-o", "again.h5ad"]);
    assert!(d.join("again.h5ad").is_symlink(), "a link stays a link");
    succeed(d, &["fates", "result.h5ad", "--model", "m.safetensors", "-o", "result.h5ad"]);
}

#[cfg(unix)]
#[test]
fn a_device_or_a_pipe_is_written_to_or_refused_and_never_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    let shown = sclsd(d, &["plot", "result.h5ad", "--kind", "loss", "-o", "/dev/stdout"]);
    let (picture, message) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(picture.starts_with('<') && picture.trim_end().ends_with("</svg>"), "{picture}");
    assert!(message.contains("picture  /dev/stdout"), "what is said goes beside the picture: {message}");
    let into = std::fs::File::create(d.join("p.svg")).expect("a file");
    let run = ["plot", "result.h5ad", "--kind", "loss", "-o", "/dev/stdout"];
    assert!(command(d, &run).stdout(into).status().expect("it runs").success());
    assert_eq!(std::fs::read_to_string(d.join("p.svg")).expect("a picture"), picture);
    succeed(d, &["plot", "result.h5ad", "--kind", "loss", "-o", "/dev/null"]);
    refused(
        d,
        &["annotate", "in.h5ad", "--model", "m.safetensors", "-o", "/dev/null"],
        &["/dev/null cannot be written: it is a device or a pipe"],
    );
    Command::new("mkfifo").arg(d.join("pipe.csv")).status().expect("a pipe");
    let mut reader = Command::new("cat").arg(d.join("pipe.csv")).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let perturb = ["perturb", "result.h5ad", "--model", "m.safetensors", "--gene", "Gene01", "-o", "pipe.csv"];
    succeed(d, &[&perturb[..], &["--cluster-key", "clusters"]].concat());
    let mut table = String::new();
    std::io::Read::read_to_string(&mut reader.stdout.take().unwrap(), &mut table).expect("a table");
    reader.wait().expect("it ends");
    assert!(table.starts_with("genes,level,from,to,"), "{table}");
    std::fs::write(d.join("pipe.h5ad"), "").expect("a file");
}

#[cfg(unix)]
#[test]
fn a_result_of_a_read_only_input_can_be_written_by_its_owner_and_a_read_only_output_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    let set = |name: &str, mode| std::fs::set_permissions(d.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    set("in.h5ad", 0o444);
    let annotate = ["annotate", "in.h5ad", "--model", "m.safetensors", "-o"];
    succeed(d, &[&annotate[..], &["new.h5ad"]].concat());
    assert_eq!(std::fs::metadata(d.join("new.h5ad")).expect("a result").permissions().mode() & 0o777, 0o644);
    refused(d, &[&annotate[..], &["in.h5ad"]].concat(), &["in.h5ad cannot be written: it is read-only"]);
}

#[test]
fn every_output_is_known_to_be_one_before_any_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    let long = "n".repeat(256);
    let at =
        [&["train", "in.h5ad", "--model", "m2.safetensors", "--epochs", "100000", "-o", &long][..], &SMALL].concat();
    refused(d, &at, &["cannot be written: file name too long"]);
    let run = |text: &'static str| text.split(' ').collect::<Vec<_>>();
    for (arguments, part) in [
        (
            "perturb result.h5ad --model m.safetensors --gene Gene01 --cluster-key clusters -o t.csv --cells-out gone/c.csv",
            "gone/c.csv cannot be written: no such file or directory",
        ),
        (
            "fates result.h5ad --model m.safetensors -o out.h5ad --hard --paths .",
            ". cannot be written: it is a directory",
        ),
        ("report result.h5ad -o gone/r.html", "gone/r.html cannot be written: no such file or directory"),
    ] {
        refused(d, &run(arguments), &[part]);
    }
    std::fs::create_dir_all(d.join("demo/report.html")).expect("a directory");
    refused(d, &run("demo --out demo --cells 50"), &["demo/report.html cannot be written: it is a directory"]);
    assert!(!d.join("demo/simulated.h5ad").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_or_error_is_a_sentence_and_never_a_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    let program = env!("CARGO_BIN_EXE_sclsd-under-test");
    let run = |script: String| Command::new("sh").current_dir(d).args(["-c", &script]).output().expect("a shell");
    for arguments in ["inspect in.h5ad", "inspect m.safetensors --json", "simulate s.h5ad --cells 30 --genes 10"] {
        let full = run(format!("'{program}' {arguments} > /dev/full"));
        let message = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{message}");
        assert_eq!(message, "error: standard output cannot be written: no space left on device\n");
        assert_eq!(run(format!("'{program}' {arguments} > /dev/full 2> /dev/full")).status.code(), Some(1));
        assert_eq!(run(format!("'{program}' {arguments} >&-")).status.code(), Some(0), "there is nobody to tell");
    }
    let noted =
        run(format!("'{program}' train in.h5ad -o o.h5ad --model n.st --epochs 1 {} 2> /dev/full", SMALL.join(" ")));
    assert_eq!(noted.status.code(), Some(0), "notes may be lost");
}

#[test]
fn more_threads_than_any_machine_has_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    for count in ["0", "1025", "65535", "4000000000", "-1"] {
        let threads = format!("--threads={count}");
        let output = sclsd(directory.path(), &["prepare", "in.h5ad", "-o", "out.h5ad", &threads]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn temporary_files_of_a_killed_run_are_removed_at_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    let here = |name: &str| d.join(name).exists();
    for name in [
        ".sclsd-out.h5ad-4999999-abcdef.tmp",
        ".sclsd-m.safetensors-4999999-abcdef.tmp",
        ".sclsd-other.h5ad-4999999-abcdef.tmp",
    ] {
        std::fs::write(d.join(name), "half").expect("a file");
    }
    succeed(d, &train("in.h5ad", &[]));
    assert!(!here(".sclsd-out.h5ad-4999999-abcdef.tmp") && !here(".sclsd-m.safetensors-4999999-abcdef.tmp"));
    assert!(here(".sclsd-other.h5ad-4999999-abcdef.tmp"), "of another output");
}

#[cfg(unix)]
#[test]
fn temporary_files_of_a_run_that_a_signal_stops_are_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    trained(d);
    for (signal, number, code) in [("INT", 2, 130), ("TERM", 15, 143), ("HUP", 1, 129)] {
        if is_ignored(number) {
            continue;
        }
        std::fs::remove_file(d.join("m.safetensors")).expect("a model");
        let run = ["train", "in.h5ad", "-o", "out.h5ad", "--model", "m.safetensors", "--epochs", "1000000"];
        let mut child = command(d, &[&run[..], &SMALL].concat())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let began = std::time::Instant::now();
        while !d.join("m.safetensors").exists() {
            assert!(began.elapsed().as_secs() < 120, "no checkpoint");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("a signal");
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "SIG{signal}");
        let left: Vec<_> = std::fs::read_dir(d).unwrap().map(|e| e.unwrap().file_name()).collect();
        let of_run = format!("-{}-", child.id());
        assert!(!left.iter().any(|name| name.to_string_lossy().contains(&of_run)), "{left:?}");
    }
}
