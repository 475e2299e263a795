//! Parses the words of the command line into [`Arguments`]: `plot --kind K` is read as `plot K`, and an option of
//! another kind of picture is an error that names the kinds with that option.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches};

use super::arguments::Arguments;
use super::headings::OUTPUT;
use super::version;

/// The command as clap knows it: for parsing, help, completions and man pages.
pub(crate) fn command() -> clap::Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help);
    let version = Arg::new("version").short('V').long("version").action(ArgAction::Version);
    // clap's own two would stand under a heading of their own, before all others
    Arguments::command()
        .long_version(version::long())
        .arg(help.global(true).help_heading(OUTPUT).help("Print help: brief with -h, in full with --help"))
        .arg(version.global(true).help_heading(OUTPUT).help("Print the version, with --version also the backends"))
}

/// Reads the process's own arguments. Help and errors are printed, and end the program.
pub(crate) fn parse() -> Arguments {
    parse_words(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
}

pub(super) fn parse_words(words: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let words = kind_first(words);
    let mut command = command();
    command
        .try_get_matches_from_mut(&words)
        .and_then(|mut matches| {
            Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
        })
        .map_err(|error| with_kinds(error, &command, &words))
}

/// Position of `plot` among the words, if it is the command.
fn plot_at(words: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.to_str() {
            Some("--simd") => at += 2, // the one global option with a value of its own
            Some(option) if option.starts_with('-') => at += 1,
            word => return (word == Some("plot")).then_some(at),
        }
    }
    None
}

/// `plot … --kind K …`, as earlier versions had it, as `plot K … …`.
fn kind_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let Some(plot) = plot_at(&words) else { return words };
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let given = |word: &OsString| word.to_str().is_some_and(|word| word == "--kind" || word.starts_with("--kind="));
    let Some(at) = words.iter().take(end).skip(plot + 1).position(given).map(|at| at + plot + 1) else { return words };
    let option = words.remove(at);
    let kind = match option.to_str().and_then(|option| option.strip_prefix("--kind=")) {
        Some(kind) => kind.into(),
        None if at < words.len() => words.remove(at),
        None => return words,
    };
    words.insert(plot + 1, kind);
    words
}

/// Adds to an error of `plot` which kinds of pictures have the refused option, or that the kind comes first.
fn with_kinds(mut error: clap::Error, command: &clap::Command, words: &[OsString]) -> clap::Error {
    let Some(kind) = plot_at(words).and_then(|at| words.get(at + 1)).and_then(|word| word.to_str()) else {
        return error;
    };
    let Some(plot) = command.find_subcommand("plot") else { return error };
    let tip = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) if plot.find_subcommand(kind).is_some() => {
            let name = option.split('=').next().unwrap_or_default().trim_start_matches('-');
            let has = |kind: &&clap::Command| kind.get_arguments().any(|arg| arg.get_long() == Some(name));
            let kinds: Vec<&str> = plot.get_subcommands().filter(has).map(clap::Command::get_name).collect();
            if kinds.is_empty() {
                return error;
            }
            format!("'--{name}' is an option of sclsd plot {}, not of sclsd plot {kind}", kinds.join(", "))
        }
        (ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument, _)
            if error.get(ContextKind::SuggestedSubcommand).is_none() =>
        {
            "the kind of picture comes first, as in: sclsd plot embedding result.h5ad -o picture.svg".to_owned()
        }
        _ => return error,
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(Into::into).collect()
    }

    #[test]
    fn a_kind_as_an_option_becomes_the_first_word_after_plot() {
        for (typed, read) in [
            ("sclsd plot in.h5ad --kind stream -o p.svg", "sclsd plot stream in.h5ad -o p.svg"),
            ("sclsd --simd avx2 plot --kind=loss in.h5ad", "sclsd --simd avx2 plot loss in.h5ad"),
            ("sclsd --quiet plot stream in.h5ad", "sclsd --quiet plot stream in.h5ad"),
            ("sclsd plot in.h5ad --kind", "sclsd plot in.h5ad"),
            ("sclsd --kind=loss plot", "sclsd --kind=loss plot"),
            ("sclsd perturb --kind stream", "sclsd perturb --kind stream"),
        ] {
            assert_eq!(kind_first(words(typed)), words(read));
        }
    }

    #[test]
    fn an_option_of_another_kind_is_an_error_that_names_the_kinds_that_have_it() {
        for (typed, expected) in [
            (
                "embedding in.h5ad -o p.svg --density 2",
                "is an option of sclsd plot stream, not of sclsd plot embedding",
            ),
            ("loss in.h5ad -o p.svg --color a", "of sclsd plot embedding, stream, walks, not of sclsd plot loss"),
            (
                "in.h5ad -o p.svg --kind stream --surface",
                "is an option of sclsd plot landscape, not of sclsd plot stream",
            ),
            ("in.h5ad -o p.svg", "the kind of picture comes first, as in: sclsd plot embedding result.h5ad"),
            ("components in.h5ad -o p.svg", "--model <FILE>"),
            ("landscape in.h5ad -o p.svg --azimuth 3", "--surface"),
        ] {
            let error = parse_words(words(&format!("sclsd plot {typed}"))).expect_err("a wrong option");
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{typed}: {error}");
        }
    }
}
