//! The landscape that simulated cells roll down: a tree of [valleys](Valleys) with names and times.
//!
//! Valley e runs from a to b in the time t_a … t_b. The potential along it falls at the rate at which the noiseless
//! flow takes that time. Where valleys fork, noise decides. A cycle has no such potential: a non-gradient force moves
//! cells around a ring, and `U` is the potential of the ring's walls only.

use super::topology::Topology;
pub(super) use super::valleys::{Blend, Point};
use super::valleys::{Valleys, WALL};

/// The stage of development that a valley represents.
struct Stage {
    name: &'static str,
    parent: Option<usize>,
    start: f64,
    end: f64,
}

/// A potential with named valleys.
pub(super) struct Landscape {
    /// One stage per valley, parents before children.
    stages: Vec<Stage>,
    valleys: Valleys,
    ring: bool,
}

impl Landscape {
    pub(super) fn new(topology: Topology) -> Self {
        let mut stages: Vec<Stage> = Vec::new();
        let mut valleys = Valleys::new();
        for branch in topology.branches() {
            let start = branch.parent.map_or(0.0, |parent| stages[parent].end);
            valleys.push(branch.parent, branch.to, branch.end - start);
            stages.push(Stage { name: branch.name, parent: branch.parent, start, end: branch.end });
        }
        Self { stages, valleys, ring: topology == Topology::Cycle }
    }

    /// Initial position of every cell.
    pub(super) fn origin(&self) -> Point {
        if self.ring { [1.0, 0.0] } else { [0.0, 0.0] }
    }

    /// Potential at a point.
    pub(super) fn potential(&self, p: Point) -> f64 {
        if self.ring { 0.5 * WALL * (p[0].hypot(p[1]) - 1.0).powi(2) } else { self.blend(p).potential() }
    }

    /// Deterministic part of the motion: −∇U, plus the force along the ring for a cycle.
    pub(super) fn drift(&self, p: Point) -> Point {
        if self.ring {
            let radius = p[0].hypot(p[1]).max(1e-9);
            let inward = -WALL * (radius - 1.0) / radius;
            let along = std::f64::consts::TAU; // one turn in the time 0…1
            return [inward * p[0] - along * p[1], inward * p[1] + along * p[0]];
        }
        self.blended_drift(p, &self.blend(p))
    }

    /// −∇U at a point whose blend is known. Not for a ring.
    pub(super) fn blended_drift(&self, p: Point, blend: &Blend) -> Point {
        self.valleys.drift(p, blend)
    }

    /// Weight of each valley at a point. Not for a ring, which has no valleys.
    pub(super) fn blend(&self, p: Point) -> Blend {
        self.valleys.blend(p)
    }

    /// Progress from 0 to 1 at a point: the time at which the noiseless flow passes there.
    pub(super) fn progress(&self, p: Point) -> f64 {
        if self.ring {
            return p[1].atan2(p[0]).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU;
        }
        let valley = self.blend(p).entered;
        let stage = &self.stages[valley];
        stage.start + (stage.end - stage.start) * self.valleys.along(valley, p)
    }

    /// How far apart two places are in progress: on a ring the shorter way round, so that its end is its beginning.
    pub(super) fn apart(&self, a: f64, b: f64) -> f64 {
        let apart = a - b;
        if self.ring { apart - apart.round() } else { apart }
    }

    /// Membership of a point in each valley; sums to one. Empty for a ring.
    pub(super) fn membership(&self, p: Point) -> Vec<f64> {
        self.blend(p).membership()[..self.n_valleys()].to_vec()
    }

    /// Number of valleys.
    pub(super) fn n_valleys(&self) -> usize {
        self.valleys.len()
    }

    /// Name of the stage at a point.
    pub(super) fn stage(&self, p: Point) -> &'static str {
        if self.ring {
            return ["Phase 1", "Phase 2", "Phase 3", "Phase 4"]
                .into_iter()
                .nth(self.ring_quarter(p))
                .unwrap_or("Phase 4");
        }
        self.stages[self.blend(p).entered].name
    }

    fn ring_quarter(&self, p: Point) -> usize {
        let progress = self.progress(p);
        (1..4).take_while(|&q| progress >= f64::from(q) / 4.0).count()
    }

    /// Names of all stages, in the order of time.
    pub(super) fn stages(&self) -> Vec<&'static str> {
        if self.ring {
            return vec!["Phase 1", "Phase 2", "Phase 3", "Phase 4"];
        }
        self.stages.iter().map(|stage| stage.name).collect()
    }

    /// Names of the ends, one per leaf; empty for a ring.
    pub(super) fn ends(&self) -> Vec<&'static str> {
        self.leaves().map(|leaf| self.stages[leaf].name).collect()
    }

    /// Indices of the valleys that have no children.
    pub(super) fn leaves(&self) -> impl Iterator<Item = usize> {
        (0..self.n_valleys()).filter(|&valley| self.valleys.is_leaf(valley))
    }

    /// Known transitions between stages, from → to.
    pub(super) fn edges(&self) -> Vec<(&'static str, &'static str)> {
        if self.ring {
            return vec![("Phase 1", "Phase 2"), ("Phase 2", "Phase 3"), ("Phase 3", "Phase 4")];
        }
        self.stages.iter().filter_map(|stage| stage.parent.map(|p| (self.stages[p].name, stage.name))).collect()
    }

    /// Whether a cell at `p` has left the tissue: it is past the end of a leaf that ends before time 1.
    pub(super) fn has_left(&self, p: Point) -> bool {
        if self.ring {
            return false;
        }
        let valley = self.blend(p).entered;
        self.valleys.is_leaf(valley) && self.stages[valley].end < 1.0 && self.valleys.along(valley, p) > 1.0
    }

    /// Potential below which the fate of a cell in a leaf is decided: the potential at the leaf's end, or `margin`
    /// below the lowest pass out of the leaf, whichever is higher.
    pub(super) fn final_level(&self, leaf: usize, margin: f64) -> f64 {
        (self.valleys.pass(leaf) - margin).max(self.valleys.bottom(leaf))
    }

    /// Membership of a point among the leaves only, in the order of [`Self::ends`]; sums to one.
    pub(super) fn among_leaves(&self, p: Point) -> Vec<f64> {
        let shares = self.valleys.among_leaves(p);
        self.leaves().map(|leaf| shares[leaf]).collect()
    }
}

#[cfg(test)]
mod tests {
    use sclsd_spec::Choice;

    use super::*;

    #[test]
    fn drift_is_minus_the_gradient_of_the_potential() {
        for &topology in Topology::ALL.iter().filter(|topology| **topology != Topology::Cycle) {
            let landscape = Landscape::new(topology);
            for p in [[0.1, 0.02], [0.5, 0.03], [0.72, 0.2], [0.9, -0.4], [1.15, 0.8]] {
                let h = 1e-6;
                let slope = |i: usize| {
                    let (mut up, mut down) = (p, p);
                    up[i] += h;
                    down[i] -= h;
                    (landscape.potential(up) - landscape.potential(down)) / (2.0 * h)
                };
                let drift = landscape.drift(p);
                for (i, drift) in drift.into_iter().enumerate() {
                    assert!((drift + slope(i)).abs() < 1e-4 * (1.0 + slope(i).abs()), "{topology:?} at {p:?}");
                }
            }
        }
    }

    #[test]
    fn the_noiseless_flow_is_down_the_tree_in_time_one() {
        let landscape = Landscape::new(Topology::Linear);
        let mut p = landscape.origin();
        for _ in 0..1000 {
            let d = landscape.drift(p);
            p = [p[0] + d[0] / 1000.0, p[1] + d[1] / 1000.0];
        }
        assert!((landscape.progress(p) - 1.0).abs() < 0.1, "{p:?} {}", landscape.progress(p));
    }
}
