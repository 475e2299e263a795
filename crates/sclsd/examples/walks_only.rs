//! Uses one crate without the others: random walks on a graph from elsewhere (a sprs matrix), directed by a time and a
//! phylogeny. `sclsd-graph` alone is enough for this, and it does not depend on a tensor library.

use std::collections::BTreeMap;

use sclsd::data::Categorical;
use sclsd::data::sprs::{CsMatI, TriMatI};
use sclsd::graph::{Descent, Phylogeny, Transition, WalkSpec};

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn main() -> Result<(), sclsd::Error> {
    // six cells: 0 – 1 – 2 – 3 in a chain, and 4 and 5 branching off 1 and 2
    let mut edges = TriMatI::new((6, 6));
    for (a, b) in [(0, 1), (1, 2), (2, 3), (1, 4), (2, 5), (4, 5)] {
        edges.add_triplet(a, b, 1.0_f32);
        edges.add_triplet(b, a, 1.0_f32);
    }
    let graph: CsMatI<f32, u32, usize> = edges.to_csr();
    let time = [0.0, 0.2, 0.4, 0.9, 0.5, 0.7];
    let clusters = Categorical::from_names(["stem", "stem", "left", "left", "right", "right"]);
    let phylogeny = Phylogeny::new(BTreeMap::from([("stem".into(), vec!["left".into(), "right".into()])]))?;

    // steps go forward in time, and never from the left cluster to the right one
    let prior = Transition::from_phylogeny(&graph, &time, 5.0, &phylogeny, &clusters, Descent::Children)?;
    for cell in 0..6 {
        println!("from cell {cell}: {:?}", prior.matrix().row(cell));
    }
    let walks = prior.walks(&WalkSpec { num_walks: 5, path_len: 4, ..WalkSpec::default() }.check()?);
    (0..walks.len()).for_each(|walk| println!("{:?}", walks.walk(walk)));
    Ok(())
}
