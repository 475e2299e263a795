//! The landscape that simulated cells roll down.
//!
//! A tree of valleys in the plane. Valley e runs from a to b in the time t_a … t_b; along it the potential falls just
//! so that the flow takes that time, and across it the potential rises quadratically:
//!
//! ```text
//! U_e(p) = U_a − (L² / Δt) w + k/2 ‖p − c(w)‖²,   w = (p − a)·(b − a) / L²,   c(w) = a + w (b − a)
//! U(p)   = −T ln Σ_e exp(−U_e(p) / T)
//! ```
//!
//! `w` stays in 0…1, save that the first valley goes on upwards and the last ones go on downwards. Where two valleys
//! part, noise decides. A cycle has no such potential: there cells are carried round a ring by a force that is not a
//! gradient, and `U` is the ring's wall alone.

use super::Topology;

/// A point of the plane.
pub(super) type Point = [f64; 2];

/// Stiffness of the valley walls.
const WALL: f64 = 30.0;
/// Width over which neighbouring valleys blend, in units of the potential.
const BLEND: f64 = 0.02;
/// Turns of the ring in the time 0…1 (a little less than one, so that the ends can be told apart).
const TURN: f64 = 0.9;

struct Valley {
    name: &'static str,
    from: Point,
    to: Point,
    start: f64,
    end: f64,
    top: f64,
    parent: Option<usize>,
    first: bool,
    last: bool,
}

/// A potential with named valleys.
pub(super) struct Landscape {
    valleys: Vec<Valley>,
    ring: bool,
}

impl Landscape {
    pub(super) fn new(topology: Topology) -> Self {
        // (name, parent, to, time at the end)
        type Row = (&'static str, Option<usize>, Point, f64);
        let rows: &[Row] = match topology {
            Topology::Linear => &[
                ("Stem", None, [0.4, 0.0], 0.33),
                ("Transit", Some(0), [0.8, 0.0], 0.66),
                ("Mature", Some(1), [1.2, 0.0], 1.0),
            ],
            Topology::Bifurcation => &[
                ("Stem", None, [0.35, 0.0], 0.25),
                ("Progenitor", Some(0), [0.6, 0.0], 0.5),
                ("Fate A", Some(1), [1.2, 0.6], 1.0),
                ("Fate B", Some(1), [1.2, -0.6], 1.0),
            ],
            Topology::Tree => &[
                ("Stem", None, [0.4, 0.0], 0.3),
                ("Upper", Some(0), [0.8, 0.6], 0.6),
                ("Lower", Some(0), [0.8, -0.6], 0.6),
                ("Fate A", Some(1), [1.2, 1.0], 1.0),
                ("Fate B", Some(1), [1.3, 0.35], 1.0),
                ("Fate C", Some(2), [1.3, -0.35], 1.0),
                ("Fate D", Some(2), [1.2, -1.0], 1.0),
            ],
            Topology::Cycle => &[],
        };
        let mut valleys: Vec<Valley> = Vec::with_capacity(rows.len());
        for &(name, parent, to, end) in rows {
            let (from, start, top) = match parent {
                None => ([0.0, 0.0], 0.0, 0.0),
                Some(p) => {
                    let above: &mut Valley = &mut valleys[p];
                    above.last = false;
                    (above.to, above.end, above.bottom())
                }
            };
            valleys.push(Valley { name, from, to, start, end, top, parent, first: parent.is_none(), last: true });
        }
        Self { valleys, ring: topology == Topology::Cycle }
    }

    /// Where every cell starts.
    pub(super) fn origin(&self) -> Point {
        if self.ring { [1.0, 0.0] } else { self.valleys[0].from }
    }

    /// Potential at a point.
    pub(super) fn potential(&self, p: Point) -> f64 {
        if self.ring {
            return 0.5 * WALL * (p[0].hypot(p[1]) - 1.0).powi(2);
        }
        let (weights, least) = self.weights(p);
        least - BLEND * weights.iter().sum::<f64>().ln()
    }

    /// Deterministic part of the motion: −∇U, and on the ring the force along it.
    pub(super) fn drift(&self, p: Point) -> Point {
        if self.ring {
            let radius = p[0].hypot(p[1]).max(1e-9);
            let inward = -WALL * (radius - 1.0) / radius;
            let along = TURN * std::f64::consts::TAU;
            return [inward * p[0] - along * p[1], inward * p[1] + along * p[0]];
        }
        let (weights, _) = self.weights(p);
        let total: f64 = weights.iter().sum();
        let mut drift = [0.0, 0.0];
        for (valley, weight) in self.valleys.iter().zip(weights) {
            let pull = valley.drift(p);
            drift[0] += weight / total * pull[0];
            drift[1] += weight / total * pull[1];
        }
        drift
    }

    /// Progress from 0 to 1 at a point: the time at which the noiseless flow passes there.
    pub(super) fn progress(&self, p: Point) -> f64 {
        if self.ring {
            return p[1].atan2(p[0]).rem_euclid(std::f64::consts::TAU) / (TURN * std::f64::consts::TAU);
        }
        let valley = &self.valleys[self.valley(p)];
        valley.start + (valley.end - valley.start) * valley.along(p)
    }

    /// How much each valley claims a point; sums to one.
    pub(super) fn membership(&self, p: Point) -> Vec<f64> {
        if self.ring {
            return Vec::new();
        }
        let (weights, _) = self.weights(p);
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / total).collect()
    }

    /// Number of valleys.
    pub(super) fn n_valleys(&self) -> usize {
        self.valleys.len()
    }

    /// The valley that claims a point most.
    fn valley(&self, p: Point) -> usize {
        let (weights, _) = self.weights(p);
        (0..weights.len()).fold(0, |best, v| if weights[v] > weights[best] { v } else { best })
    }

    /// Name of the stage a point is in.
    pub(super) fn stage(&self, p: Point) -> &'static str {
        if self.ring {
            return ["Phase 1", "Phase 2", "Phase 3", "Phase 4"]
                .into_iter()
                .nth(self.ring_quarter(p))
                .unwrap_or("Phase 4");
        }
        self.valleys[self.valley(p)].name
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
        self.valleys.iter().map(|v| v.name).collect()
    }

    /// Names of the ends, one per branch; none on a ring.
    pub(super) fn ends(&self) -> Vec<&'static str> {
        self.valleys.iter().filter(|v| v.last).map(|v| v.name).collect()
    }

    /// Known successions of stages, from → to.
    pub(super) fn edges(&self) -> Vec<(&'static str, &'static str)> {
        if self.ring {
            return vec![("Phase 1", "Phase 2"), ("Phase 2", "Phase 3"), ("Phase 3", "Phase 4")];
        }
        self.valleys.iter().filter_map(|v| v.parent.map(|p| (self.valleys[p].name, v.name))).collect()
    }

    /// exp(−(U_e − min U) / T) of every valley, and the least U_e.
    fn weights(&self, p: Point) -> (Vec<f64>, f64) {
        let potentials: Vec<f64> = self.valleys.iter().map(|v| v.potential(p)).collect();
        let least = potentials.iter().copied().fold(f64::INFINITY, f64::min);
        (potentials.into_iter().map(|u| (-(u - least) / BLEND).exp()).collect(), least)
    }
}

impl Valley {
    fn length_squared(&self) -> f64 {
        (self.to[0] - self.from[0]).powi(2) + (self.to[1] - self.from[1]).powi(2)
    }

    /// Fall of the potential per unit of `w`.
    fn fall(&self) -> f64 {
        self.length_squared() / (self.end - self.start)
    }

    fn bottom(&self) -> f64 {
        self.top - self.fall()
    }

    fn along(&self, p: Point) -> f64 {
        let w = ((p[0] - self.from[0]) * (self.to[0] - self.from[0])
            + (p[1] - self.from[1]) * (self.to[1] - self.from[1]))
            / self.length_squared();
        let low = if self.first { f64::NEG_INFINITY } else { 0.0 };
        let high = if self.last { f64::INFINITY } else { 1.0 };
        w.clamp(low, high)
    }

    /// From the valley's floor to the point.
    fn offset(&self, p: Point, w: f64) -> Point {
        [p[0] - self.from[0] - w * (self.to[0] - self.from[0]), p[1] - self.from[1] - w * (self.to[1] - self.from[1])]
    }

    fn potential(&self, p: Point) -> f64 {
        let w = self.along(p);
        let offset = self.offset(p, w);
        self.top - self.fall() * w + 0.5 * WALL * (offset[0].powi(2) + offset[1].powi(2))
    }

    fn drift(&self, p: Point) -> Point {
        let w = self.along(p);
        let offset = self.offset(p, w);
        let inside = (w > 0.0 || self.first) && (w < 1.0 || self.last);
        let push = if inside { self.fall() / self.length_squared() } else { 0.0 };
        [push * (self.to[0] - self.from[0]) - WALL * offset[0], push * (self.to[1] - self.from[1]) - WALL * offset[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_minus_the_gradient_of_the_potential() {
        for topology in [Topology::Linear, Topology::Bifurcation, Topology::Tree] {
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
