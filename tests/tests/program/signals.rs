//! Checks that Ctrl-C, SIGTERM and SIGHUP stop training at the next step without loss of data.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use sclsd::infer::Checkpoint;
use sclsd_tests::print_always;

use crate::{SMALL, command, succeed};

/// Number of steps per epoch of [`train`].
const STEPS: usize = 32;

fn simulate(directory: &Path) {
    succeed(directory, &["simulate", "in.h5ad", "--cells", "200", "--genes", "40"]);
}

/// Arguments to train for forty epochs of 32 steps, with a checkpoint every `every` epochs.
fn train<'a>(model: &'a str, output: &'a str, every: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let files = ["train", "in.h5ad", "-o", output, "--model", model, "--epochs", "40"];
    let [settings @ .., _] = &SMALL;
    [&files[..], settings, &[every, "--set", "walks.batch_size=2"], more].concat()
}

fn start(directory: &Path, arguments: &[&str]) -> Child {
    command(directory, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn tell(child: &Child, signal: &str) {
    let told = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(told.expect("a signal").success(), "SIG{signal}");
}

/// Waits for a line of standard error that starts with `begins`.
fn line(errors: &mut BufReader<ChildStderr>, begins: &str) -> String {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        assert!(errors.read_line(&mut line).expect("a line") > 0, "no line that begins {begins}: {message}");
        if line.starts_with(begins) {
            return line;
        }
        message += &line;
    }
}

/// Standard error of the program, for reading line by line.
fn errors(child: &mut Child) -> BufReader<ChildStderr> {
    BufReader::new(child.stderr.take().expect("standard error"))
}

fn end(child: &mut Child) -> std::process::ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        if began.elapsed() > Duration::from_mins(2) {
            child.kill().expect("SIGKILL");
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for the line of the first epoch, which shows that training has started.
fn begun(child: &mut Child) -> BufReader<ChildStderr> {
    let mut errors = errors(child);
    line(&mut errors, "epoch 1/");
    errors
}

fn read(directory: &Path, name: &str) -> Vec<u8> {
    std::fs::read(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Temporary files that remain.
fn temporaries(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).expect("a directory").map(|e| e.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with(".sclsd-")).collect()
}

/// Whether this process, and therefore its children, ignores a signal.
pub(crate) fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    let ignored =
        mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1);
    if ignored {
        print_always(&format!(
            "SKIPPED: signal {signal} is ignored here, as it is by what a shell runs in the background"
        ));
    }
    ignored
}

#[test]
fn a_signal_stops_training_at_the_next_step_and_resume_gives_the_bytes_of_an_uninterrupted_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    simulate(d);
    succeed(d, &train("whole.st", "whole.h5ad", "1", &[]));
    let mut within = 0;
    for (signal, number, name, code, threads) in
        [("INT", 2, "Ctrl-C", 130, "1"), ("TERM", 15, "SIGTERM", 143, "2"), ("HUP", 1, "SIGHUP", 129, "2")]
    {
        if is_ignored(number) {
            continue;
        }
        let (model, result) = (format!("{signal}.st"), format!("{signal}.h5ad"));
        let more = ["--threads", threads];
        let mut child = start(d, &train(&model, &result, "1000", &more));
        let mut message = begun(&mut child);
        tell(&child, signal);
        assert_eq!(end(&mut child).code(), Some(code), "SIG{signal}");
        let stopped = Checkpoint::load(&d.join(&model)).expect("a checkpoint");
        assert!(!stopped.is_finished() && stopped.epoch() >= 1);
        let place = match stopped.step() {
            0 => format!("after epoch {} of 40", stopped.epoch()),
            step => format!("in epoch {} of 40, after step {step} of {STEPS}", stopped.epoch() + 1),
        };
        let sentence = line(&mut message, "stopped by ");
        let resume = "holds the training so far; run the same command with --resume to continue";
        assert_eq!(sentence, format!("stopped by {name} {place}: {model} {resume}\n"));
        let mut rest = String::new();
        message.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "", "one sentence and no more");
        assert!(!d.join(&result).exists() && temporaries(d).is_empty(), "{:?}", temporaries(d));
        if stopped.step() > 0 {
            within += 1;
            let inspected = succeed(d, &["inspect", &model]);
            let expected = format!("{} epochs and {} steps of the next trained", stopped.epoch(), stopped.step());
            assert!(inspected.contains(&expected), "{inspected}");
            let inspected = succeed(d, &["inspect", "--json", &model]);
            assert!(inspected.contains(&format!("\"step\":{}", stopped.step())), "{inspected}");
        }
        succeed(d, &train(&model, &result, "1000", &[&more[..], &["--resume"]].concat()));
        assert!(read(d, &model) == read(d, "whole.st"), "SIG{signal}, {place}: checkpoints");
        assert!(read(d, &result) == read(d, "whole.h5ad"), "SIG{signal}, {place}: results");
        print_always(&format!("SIG{signal} {place}: the resumed run's bytes are those of the uninterrupted one"));
    }
    assert!(within > 0, "none of three stops was within an epoch");
}

#[test]
fn a_second_signal_ends_training_at_once_with_the_last_checkpoint_as_it_was() {
    if is_ignored(2) || is_ignored(15) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    simulate(d);
    let mut child = start(d, &train("m.st", "out.h5ad", "1", &[]));
    // keep the pipe open: a closed pipe is another test
    let _said = begun(&mut child);
    let began = Instant::now();
    while !d.join("m.st").exists() {
        assert!(began.elapsed() < Duration::from_mins(2), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    // both signals are pending when the process continues: Linux delivers the lower number first
    tell(&child, "STOP");
    let own = format!(".sclsd-out.h5ad-{}-abcdef.tmp", child.id());
    std::fs::write(d.join(own), "half").expect("a file");
    tell(&child, "INT");
    tell(&child, "TERM");
    tell(&child, "CONT");
    assert_eq!(end(&mut child).signal(), Some(15), "the second ends it as it ends other programs");
    assert!(temporaries(d).is_empty(), "{:?}", temporaries(d));
    let left = Checkpoint::load(&d.join("m.st")).expect("a whole checkpoint");
    assert!(left.epoch() >= 1 && !left.is_finished());
}

#[test]
fn a_stop_is_saved_where_the_reader_of_standard_error_is_gone() {
    if is_ignored(2) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    simulate(d);
    let mut child = start(d, &train("m.st", "out.h5ad", "1000", &[]));
    let message = begun(&mut child);
    // as Ctrl-C in `sclsd train … 2>&1 | tee log`, which also ends tee
    tell(&child, "STOP");
    drop(message);
    tell(&child, "INT");
    tell(&child, "CONT");
    assert_eq!(end(&mut child).code(), Some(130));
    assert!(!Checkpoint::load(&d.join("m.st")).expect("a checkpoint").is_finished());
}

#[test]
fn a_hangup_that_is_ignored_as_under_nohup_does_not_stop_training() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    simulate(d);
    let program = env!("CARGO_BIN_EXE_sclsd-under-test");
    let arguments = ["train", "in.h5ad", "-o", "out.h5ad", "--model", "m.st", "--epochs", "20"];
    let script = format!("trap '' HUP; exec '{program}' {}", [&arguments[..], &SMALL].concat().join(" "));
    let mut child = Command::new("sh")
        .current_dir(d)
        .args(["-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut message = begun(&mut child);
    tell(&child, "HUP");
    let mut rest = String::new();
    message.read_to_string(&mut rest).expect("text");
    assert!(end(&mut child).success(), "{rest}");
    assert!(d.join("out.h5ad").exists());
}

#[test]
fn outside_training_a_signal_ends_the_program_as_it_ends_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    for (signal, number) in [("INT", 2_i32), ("TERM", 15), ("HUP", 1)] {
        if is_ignored(number.unsigned_abs()) {
            continue;
        }
        let mut child = start(d, &["simulate", "large.h5ad", "--cells", "100000", "--genes", "2000"]);
        let own = format!(".sclsd-large.h5ad-{}-abcdef.tmp", child.id());
        std::fs::write(d.join(own), "half").expect("a file");
        // the first thing a command does with its outputs
        std::thread::sleep(Duration::from_millis(500));
        assert!(child.try_wait().expect("a child").is_none(), "it is still at work");
        tell(&child, signal);
        assert_eq!(end(&mut child).signal(), Some(number));
        let of_run = format!("-{}-", child.id());
        assert!(!temporaries(d).iter().any(|name| name.contains(&of_run)), "{:?}", temporaries(d));
    }
}

#[test]
fn a_signal_while_the_prior_time_is_made_says_that_nothing_is_saved() {
    if is_ignored(2) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    simulate(d);
    let files = ["train", "in.h5ad", "-o", "out.h5ad", "--model", "m.st", "--infer-phylogeny", "Stem"];
    let prior = ["--bootstrap-prior", "--bootstrap-epochs", "1000000"];
    let mut child = start(d, &[&files[..], &prior].concat());
    let mut message = begun(&mut child);
    tell(&child, "INT");
    let sentence = line(&mut message, "stopped by ");
    let place = "while the prior time was computed: nothing is saved, and the same command starts again";
    assert_eq!(sentence, format!("stopped by Ctrl-C {place}\n"));
    assert_eq!(end(&mut child).code(), Some(130));
    assert!(!d.join("m.st").exists() && !d.join("out.h5ad").exists());
}

#[test]
fn a_demo_that_is_stopped_names_the_command_that_goes_on_to_the_same_bytes() {
    if is_ignored(2) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    let demo = ["demo", "--cells", "150", "--genes", "30", "--epochs", "3", "--seed", "7", "--out"];
    succeed(d, &[&demo[..], &["whole"]].concat());
    let mut child = start(d, &[&demo[..], &["cut"]].concat());
    let mut message = begun(&mut child);
    tell(&child, "INT");
    let sentence = line(&mut message, "stopped by ");
    assert_eq!(end(&mut child).code(), Some(130), "{sentence}");
    let (_, command) = sentence.split_once("the training so far; to continue, run sclsd ").expect("a command");
    succeed(d, &command.trim_end().split(' ').collect::<Vec<_>>());
    // the demo continues with fates, which it adds to its result
    let [whole, cut] = ["whole", "cut"].map(|demo| read(d, &format!("{demo}/model.safetensors")));
    assert!(whole == cut, "{sentence}");
    assert!(d.join("cut/result.h5ad").exists());
}

#[test]
fn a_checkpoint_that_was_stopped_within_an_epoch_is_a_model_to_annotate_with() {
    if is_ignored(15) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let d = directory.path();
    simulate(d);
    let mut child = start(d, &train("m.st", "out.h5ad", "1000", &[]));
    let message = begun(&mut child);
    tell(&child, "TERM");
    assert_eq!(end(&mut child).code(), Some(143));
    drop(message);
    succeed(d, &["annotate", "in.h5ad", "--model", "m.st", "-o", "annotated.h5ad"]);
}
