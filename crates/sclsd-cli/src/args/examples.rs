//! Examples at the end of every `--help`. A line that begins with `  sclsd ` is a valid command; a test parses each.

pub(super) const PROGRAM: &str = "\
Examples:
  # Try it on simulated cells: everything below in one command, in about a minute
  sclsd demo
  # From raw counts to a report
  sclsd prepare raw.h5ad -o cells.h5ad --root-cluster Ductal
  sclsd train cells.h5ad -o result.h5ad --model model.safetensors
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad
  sclsd report fates.h5ad --model model.safetensors -o report.html

sclsd COMMAND --help explains the options of a command; sclsd COMMAND -h lists them briefly.";

pub(super) const DEMO: &str = "\
Examples:
  sclsd demo
  # Fewer cells, another directory
  sclsd demo --cells 500 --genes 80 --out small-demo";

pub(super) const SIMULATE: &str = "\
Examples:
  sclsd simulate cells.h5ad --cells 500 --genes 80 --seed 1
  # Four fates, with shallow counts
  sclsd simulate tree.h5ad --topology tree --depth 0.5";

pub(super) const INSPECT: &str = "\
Examples:
  sclsd inspect cells.h5ad
  sclsd inspect model.safetensors
  # For a script
  sclsd inspect cells.h5ad --json";

pub(super) const PREPARE: &str = "\
Examples:
  sclsd prepare raw.h5ad -o cells.h5ad --root-cluster Ductal
  # From the directory or .h5 file of Cell Ranger, with pseudotime from a known early cell
  sclsd prepare filtered_feature_bc_matrix -o cells.h5ad --root-cell AAACCTGAGCGTGAAC-1
  # Another graph and clusters than the file has
  sclsd prepare raw.h5ad -o cells.h5ad --force --n-neighbors 30 --n-top-genes 2000";

pub(super) const TRAIN: &str = "\
Examples:
  sclsd train cells.h5ad -o result.h5ad --model model.safetensors
  # Name the terminal states, and use days as the prior time
  sclsd train cells.h5ad -o result.h5ad --model m.safetensors --terminal Alpha Beta \\
    --time-key day --scale-time --smooth-time 3
  # Direct the walks by a phylogeny that is inferred from a root cluster
  sclsd train cells.h5ad -o result.h5ad --model m.safetensors --infer-phylogeny Ductal
  # Five models that differ in their seeds, to see what does not hang on the seed
  sclsd train cells.h5ad -o result.h5ad --model model.safetensors --members 5
  # Continue after an interruption: the same command with --resume
  sclsd train cells.h5ad -o result.h5ad --model model.safetensors --resume";

pub(super) const COMBINE: &str = "\
Examples:
  # Two of the members in one command, two in another, and both joined
  sclsd train cells.h5ad -o part1.h5ad --model part1.safetensors --members 4 --shard 1/2
  sclsd train cells.h5ad -o part2.h5ad --model part2.safetensors --members 4 --shard 2/2
  sclsd combine -o result.h5ad --model model.safetensors \\
    --parts part1.safetensors part2.safetensors part1.h5ad part2.h5ad";

pub(super) const ANNOTATE: &str = "\
Examples:
  sclsd annotate more_cells.h5ad --model model.safetensors -o annotated.h5ad";

pub(super) const FATES: &str = "\
Examples:
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad
  # Other terminal states than those of the training
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad --terminal Alpha Beta
  # The model alone, without the prior
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad --prior-weight 0
  # An interval over the members of a model that has several
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad --interval 0.8
  # Paths that follow the model's drift with noise, and a gene along them
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad --method sde --draws 200 \\
    --gene Neurog3 --gene-paths neurog3.csv
  # One fate for each cell, as the Python package computes it
  sclsd fates result.h5ad --model model.safetensors -o fates.h5ad --hard";

pub(super) const EVALUATE: &str = "\
Examples:
  sclsd evaluate result.h5ad --edges \"Ductal>Ngn3 low EP,Ngn3 low EP>Ngn3 high EP\"
  # Compare the pseudotime with a time that you know
  sclsd evaluate fates.h5ad --edges edges.json --time-key day
  # Compare fates with the sister cells of a lineage tracing experiment
  sclsd evaluate fates.h5ad --edges edges.json --sisters clone_fates";

pub(super) const AUDIT: &str = "\
Examples:
  sclsd audit result.h5ad --model model.safetensors
  # In a script: exit status 3 if the verdict is \"do not believe\"
  sclsd audit fates.h5ad --model model.safetensors --strict --json";

pub(super) const PERTURB: &str = "\
Examples:
  # A knockout
  sclsd perturb result.h5ad --model model.safetensors --gene Neurog3 -o neurog3.csv
  # Several knockouts, one after the other, of the cells of two clusters
  sclsd perturb result.h5ad --model model.safetensors --gene Arx Pax4 --each \\
    --clusters \"Ngn3 high EP\" Pre-endocrine -o knockouts.csv
  # Overexpression: set the gene to 3 in units of X (log counts)
  sclsd perturb result.h5ad --model model.safetensors --gene Pax4 --level 3 -o pax4.csv";

pub(super) const PLOT: &str = "\
Examples:
  sclsd plot stream result.h5ad -o stream.svg
  sclsd plot landscape result.h5ad --surface --model model.safetensors -o landscape.png

sclsd plot KIND --help explains the options of a kind.";

pub(super) const REPORT: &str = "\
Examples:
  sclsd report fates.h5ad --model model.safetensors -o report.html
  # More colors to choose from: columns of obs, or genes
  sclsd report fates.h5ad --model model.safetensors -o report.html --color day Neurog3";

pub(super) const CONVERT: &str = "\
Examples:
  sclsd convert trained.pth model.safetensors --genes cells.h5ad";

pub(super) const COMPLETIONS: &str = "\
Examples:
  sclsd completions bash > ~/.local/share/bash-completion/completions/sclsd
  sclsd completions zsh > ~/.zfunc/_sclsd
  sclsd completions fish > ~/.config/fish/completions/sclsd.fish";

pub(super) const MAN: &str = "\
Examples:
  sclsd man --out ~/.local/share/man/man1";

pub(super) const EMBEDDING: &str = "\
Examples:
  sclsd plot embedding result.h5ad -o clusters.svg
  # By a gene
  sclsd plot embedding result.h5ad --color Neurog3 -o neurog3.png";

pub(super) const STREAM: &str = "\
Examples:
  sclsd plot stream result.h5ad -o stream.svg
  # The drift of the potential, on cells colored by pseudotime
  sclsd plot stream result.h5ad --velocity drift --color lsd_pseudotime -o drift.svg";

pub(super) const LANDSCAPE: &str = "\
Examples:
  sclsd plot landscape result.h5ad -o landscape.svg
  # A surface with cells that roll down it
  sclsd plot landscape result.h5ad --surface --model model.safetensors -o surface.png";

pub(super) const WALKS: &str = "\
Examples:
  sclsd plot walks result.h5ad --model model.safetensors -o walks.svg
  # From cells of one cluster
  sclsd plot walks result.h5ad --model model.safetensors --clusters Ductal -o walks.svg";

pub(super) const COMPONENTS: &str = "\
Examples:
  sclsd plot components result.h5ad --model model.safetensors -o components.svg";

pub(super) const LOSS: &str = "\
Examples:
  sclsd plot loss result.h5ad -o loss.svg";

pub(super) const FATE_FLOWS: &str = "\
Examples:
  sclsd plot fates fates.h5ad -o fates.svg";

pub(super) const FATE_PROBABILITIES: &str = "\
Examples:
  sclsd plot fate-probabilities fates.h5ad -o probabilities.svg";

pub(super) const FATE_CIRCLE: &str = "\
Examples:
  sclsd plot fate-circle fates.h5ad -o circle.svg";

pub(super) const CALIBRATION: &str = "\
Examples:
  sclsd plot calibration fates.h5ad -o calibration.svg";

pub(super) const PERTURBATIONS: &str = "\
Examples:
  sclsd perturb result.h5ad --model model.safetensors --gene Arx Pax4 --each -o knockouts.csv
  sclsd plot perturb knockouts.csv -o knockouts.svg";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::args::parse::{command, parse_words};

    /// Every command and every kind of picture, as the words that name it.
    fn commands(command: &clap::Command, words: &[OsString], all: &mut Vec<Vec<OsString>>) {
        all.push(words.to_vec());
        for subcommand in command.get_subcommands() {
            commands(subcommand, &[words, &[subcommand.get_name().into()]].concat(), all);
        }
    }

    fn help(words: &[OsString], flag: &str) -> String {
        let error = parse_words([words, &[flag.into()]].concat()).expect_err("help");
        assert_eq!(error.exit_code(), 0, "{error}");
        error.to_string()
    }

    /// Words as a shell takes them, up to where output is sent to a file.
    fn split(line: &str) -> Vec<OsString> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for c in line.split(" > ").next().unwrap_or_default().chars() {
            match c {
                '"' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().expect("a word").push(c),
            }
        }
        words.into_iter().filter(|word| !word.is_empty()).map(Into::into).collect()
    }

    #[test]
    fn every_help_has_headings_and_examples_that_the_program_takes_and_no_long_line() {
        let mut all = Vec::new();
        commands(&command(), &["sclsd".into()], &mut all);
        assert!(all.len() > 20, "{all:?}");
        for words in all {
            let page = help(&words, "--help");
            for line in page.lines() {
                assert!(line.chars().count() <= 100, "{words:?}: {line}");
            }
            assert!(!page.contains("\nOptions:") && page.contains("\nOutput and help:\n"), "{words:?}: {page}");
            let own = words[1..].iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
            let examples = page.replace("\\\n", "");
            let examples: Vec<&str> = examples.lines().filter(|line| line.starts_with("  sclsd ")).collect();
            assert!(examples.iter().any(|line| line.contains(&format!("sclsd {own}"))), "{words:?}: {page}");
            for example in examples {
                parse_words(split(example)).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
            assert!(help(&words, "-h").len() <= page.len());
        }
    }

    #[test]
    fn every_option_stands_under_a_heading_and_says_its_default() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let (id, name) = (arg.get_id(), command.get_name());
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{name}: {id}");
                if arg.is_positional() {
                    continue;
                }
                assert!(arg.get_help_heading().is_some(), "{name}: {id}");
                let valued = arg.get_action().takes_values() && !arg.is_required_set() && !arg.is_hide_set();
                assert!(
                    !valued || !arg.get_default_values().is_empty() || help.contains("[default: "),
                    "{name}: {id}: {help}"
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }
}
