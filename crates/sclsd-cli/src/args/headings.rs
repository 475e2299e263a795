//! The headings of options in `--help`, the same for all commands.

/// What is read and written.
pub(super) const FILES: &str = "Files";
/// Which genes.
pub(super) const GENES: &str = "Genes";
/// Which cells, by cluster.
pub(super) const CELLS: &str = "Cells and clusters";
/// Embedding and graph.
pub(super) const GRAPH: &str = "Graph and embedding";
/// Where pseudotime begins.
pub(super) const ROOT: &str = "Root and pseudotime";
/// What directs the training walks.
pub(super) const TIME: &str = "Time and terminal states";
/// Which cluster gives rise to which.
pub(super) const PHYLOGENY: &str = "Phylogeny";
/// Configuration, epochs and seeds.
pub(super) const SETTINGS: &str = "Settings";
/// Checkpoints and resuming from one.
pub(super) const CHECKPOINTS: &str = "Checkpoints";
/// Several models of one run.
pub(super) const MEMBERS: &str = "Several models (members)";
/// Several processes that train one model.
pub(super) const PROCESSES: &str = "Several processes";
/// How fates are computed.
pub(super) const METHOD: &str = "Method";
/// Fates by paths with noise.
pub(super) const NOISE: &str = "Paths with noise, --method sde";
/// Fates as the Python package computes them.
pub(super) const HARD: &str = "Hard fates, as in the Python package";
/// Checks of a result.
pub(super) const CHECKS: &str = "Checks";
/// Known facts that results are compared with.
pub(super) const KNOWN: &str = "What is known";
/// How far cells are followed.
pub(super) const FOLLOWING: &str = "Following cells";
/// Simulated cells.
pub(super) const SIMULATION: &str = "Simulation";
/// Appearance of a picture.
pub(super) const LOOKS: &str = "Looks";
/// Threads and devices.
pub(super) const MACHINE: &str = "Machine";
/// What is printed.
pub(super) const OUTPUT: &str = "Output and help";
