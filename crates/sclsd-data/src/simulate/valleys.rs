//! The potential of a tree of valleys, stored as one array per quantity. A step of the dynamics evaluates all valleys
//! at once, and the compiler vectorises loops over arrays of a fixed length.
//!
//! ```text
//! U_e(p) = U_a − (L² / Δt) w + k/2 ‖p − c(w)‖²,   w = (p − a)·(b − a) / L²,   c(w) = a + w (b − a)
//! U(p)   = −T ln Σ_e exp(−U_e(p) / T)
//! ```
//!
//! `w` is limited to 0…1, except that the first valley extends upwards and the leaves extend downwards.

/// A point of the plane.
pub(super) type Point = [f64; 2];

/// Stiffness k of the valley walls.
pub(super) const WALL: f64 = 30.0;
/// Width T of the blend between neighbouring valleys, in units of the potential.
const BLEND: f64 = 0.02;
/// Height above the deepest valley from which on a valley is ignored: its weight is below 1e-19, less than the rounding
/// error of the sum of weights.
const NEGLIGIBLE: f64 = 45.0 * BLEND;
/// Maximum number of valleys in a landscape.
const MOST: usize = 8;

/// The geometry of up to eight valleys. Unused array entries have an infinite potential.
pub(super) struct Valleys {
    len: usize,
    /// a, by coordinate.
    from: [[f64; MOST]; 2],
    /// b, by coordinate.
    to: [[f64; MOST]; 2],
    /// b − a, by coordinate.
    axis: [[f64; MOST]; 2],
    /// L².
    length_squared: [f64; MOST],
    /// L² / Δt: decrease of the potential per unit of `w`.
    fall: [f64; MOST],
    /// 1 / Δt: speed of the flow along a valley, in units of `w` per time.
    flow: [f64; MOST],
    /// U_a.
    top: [f64; MOST],
    /// Least and greatest `w`.
    bounds: [[f64; MOST]; 2],
}

/// Weight of each valley at a point.
pub(super) struct Blend {
    /// w, by valley.
    along: [f64; MOST],
    /// exp(−(U_e − min U) / T) of every valley.
    weights: [f64; MOST],
    /// Sum of the weights. At least 1.
    total: f64,
    /// The least U_e. The potential itself is lower by T ln `total`.
    pub(super) least: f64,
    /// The valley with the least U_e.
    pub(super) deepest: usize,
    /// The valley that contains the point: the one with the least U_e among those whose start the point has passed.
    /// (Just before a fork, all valleys after it have the same lower potential. Without the condition, every cell there
    /// would be assigned to the first of them.)
    pub(super) entered: usize,
}

impl Blend {
    /// Potential.
    pub(super) fn potential(&self) -> f64 {
        self.least - BLEND * self.total.ln()
    }

    /// Weights normalised to sum to one.
    pub(super) fn membership(&self) -> [f64; MOST] {
        self.weights.map(|weight| weight / self.total)
    }
}

impl Valleys {
    pub(super) fn new() -> Self {
        Self {
            len: 0,
            from: [[0.0; MOST]; 2],
            to: [[0.0; MOST]; 2],
            axis: [[0.0; MOST]; 2],
            length_squared: [1.0; MOST],
            fall: [0.0; MOST],
            flow: [0.0; MOST],
            top: [f64::INFINITY; MOST],
            bounds: [[0.0; MOST], [1.0; MOST]],
        }
    }

    /// Adds a valley from the end of `parent` to `to` that takes `duration`. The first valley starts at (0, 0), at
    /// potential 0. A valley without children is a leaf.
    ///
    /// # Panics
    /// If there are eight valleys already, or `parent` is not one of them.
    pub(super) fn push(&mut self, parent: Option<usize>, to: Point, duration: f64) {
        let new = self.len;
        assert!(new < MOST && parent.is_none_or(|parent| parent < new), "valley {new} goes on from {parent:?}");
        let (from, top) = parent.map_or(([0.0, 0.0], 0.0), |above| (self.end(above), self.bottom(above)));
        if let Some(parent) = parent {
            self.bounds[1][parent] = 1.0;
        }
        for i in 0..2 {
            self.from[i][new] = from[i];
            self.to[i][new] = to[i];
            self.axis[i][new] = to[i] - from[i];
        }
        self.length_squared[new] = self.axis[0][new].powi(2) + self.axis[1][new].powi(2);
        self.fall[new] = self.length_squared[new] / duration;
        self.flow[new] = self.fall[new] / self.length_squared[new];
        self.top[new] = top;
        self.bounds[0][new] = if parent.is_none() { f64::NEG_INFINITY } else { 0.0 };
        self.bounds[1][new] = f64::INFINITY;
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// b: the end point of a valley.
    fn end(&self, valley: usize) -> Point {
        [self.to[0][valley], self.to[1][valley]]
    }

    /// Whether no valley continues this one.
    pub(super) fn is_leaf(&self, valley: usize) -> bool {
        self.bounds[1][valley] > 1.0
    }

    /// Potential on the floor of a valley at its end.
    pub(super) fn bottom(&self, valley: usize) -> f64 {
        self.top[valley] - self.fall[valley]
    }

    /// w: the position along a valley, 0 at its start and 1 at its end.
    #[inline]
    pub(super) fn along(&self, valley: usize, [x, y]: Point) -> f64 {
        let ([from_x, from_y], [axis_x, axis_y]) = (&self.from, &self.axis);
        let w = ((x - from_x[valley]) * axis_x[valley] + (y - from_y[valley]) * axis_y[valley])
            / self.length_squared[valley];
        let [low, high] = [self.bounds[0][valley], self.bounds[1][valley]];
        let w = if w > low { w } else { low };
        if w < high { w } else { high }
    }

    /// p − c(w): the displacement of the point from the valley's floor.
    #[inline]
    fn offset(&self, valley: usize, [x, y]: Point, w: f64) -> Point {
        let ([from_x, from_y], [axis_x, axis_y]) = (&self.from, &self.axis);
        [x - from_x[valley] - w * axis_x[valley], y - from_y[valley] - w * axis_y[valley]]
    }

    /// U_e of all valleys, for `w` of all valleys.
    #[inline]
    fn potentials(&self, p: Point, along: &[f64; MOST]) -> [f64; MOST] {
        let mut squares = [0.0; MOST];
        for (valley, square) in squares.iter_mut().enumerate() {
            let [x, y] = self.offset(valley, p, along[valley]);
            *square = x * x + y * y;
        }
        std::array::from_fn(|valley| {
            self.top[valley] - self.fall[valley] * along[valley] + 0.5 * WALL * squares[valley]
        })
    }

    /// −∇U_e, for `w`.
    #[inline]
    fn valley_drift(&self, valley: usize, p: Point, w: f64) -> Point {
        let offset = self.offset(valley, p, w);
        let inside = w > self.bounds[0][valley] && w < self.bounds[1][valley];
        let flow = if inside { self.flow[valley] } else { 0.0 };
        [0, 1].map(|i| flow * self.axis[i][valley] - WALL * offset[i])
    }

    /// Weight of each valley at a point.
    #[inline]
    pub(super) fn blend(&self, p: Point) -> Blend {
        let mut along = [0.0; MOST];
        along.iter_mut().enumerate().for_each(|(valley, w)| *w = self.along(valley, p));
        let potentials = self.potentials(p, &along);
        let (mut least, mut deepest) = (f64::INFINITY, 0);
        let (mut least_entered, mut entered) = (f64::INFINITY, 0);
        for (valley, &potential) in potentials.iter().enumerate() {
            if potential < least {
                (least, deepest) = (potential, valley);
            }
            if potential < least_entered && along[valley] > self.bounds[0][valley] {
                (least_entered, entered) = (potential, valley);
            }
        }
        let mut blend = Blend { along, weights: [0.0; MOST], total: 0.0, least, deepest, entered };
        for (weight, potential) in blend.weights.iter_mut().zip(potentials) {
            let height = potential - least;
            if height < NEGLIGIBLE {
                *weight = if height > 0.0 { (-height / BLEND).exp() } else { 1.0 };
                blend.total += *weight;
            }
        }
        blend
    }

    /// −∇U at a point with the given `blend`.
    #[inline]
    pub(super) fn drift(&self, p: Point, blend: &Blend) -> Point {
        let mut drift = [0.0, 0.0];
        for (valley, &weight) in blend.weights.iter().enumerate() {
            if weight > 0.0 {
                let (share, part) = (weight / blend.total, self.valley_drift(valley, p, blend.along[valley]));
                drift[0] += share * part[0];
                drift[1] += share * part[1];
            }
        }
        drift
    }

    /// Membership of a point among the leaves, 0 for other valleys; sums to one.
    pub(super) fn among_leaves(&self, p: Point) -> [f64; MOST] {
        let mut heights = self.potentials(p, &self.blend(p).along);
        for (valley, height) in heights.iter_mut().enumerate() {
            if !self.is_leaf(valley) {
                *height = f64::INFINITY;
            }
        }
        let least = heights.into_iter().fold(f64::INFINITY, f64::min);
        let weights = heights.map(|height| (-(height - least) / BLEND).exp());
        let total: f64 = weights.iter().sum();
        weights.map(|weight| weight / total)
    }

    /// Potential of the lowest pass from a leaf into another valley, along the length of the leaf. Found by scanning
    /// across the leaf at many positions, on both sides up to the potential at which the leaf starts.
    pub(super) fn pass(&self, leaf: usize) -> f64 {
        const PLACES: u32 = 100;
        const ACROSS: f64 = 0.004;
        let length = self.length_squared[leaf].sqrt();
        let normal = [-self.axis[1][leaf] / length, self.axis[0][leaf] / length];
        let mut lowest = self.top[leaf];
        for w in (0..=PLACES).map(|place| f64::from(place) / f64::from(PLACES)) {
            let farthest = (2.0 * self.fall[leaf] * w / WALL).sqrt();
            let (mut offset, mut before) = (-farthest, None);
            while offset <= farthest {
                let place = [0, 1].map(|i| self.from[i][leaf] + w * self.axis[i][leaf] + offset * normal[i]);
                let blend = self.blend(place);
                let inside = blend.deepest == leaf;
                if before.is_some_and(|before| before != inside) {
                    lowest = lowest.min(blend.potential());
                }
                before = Some(inside);
                offset += ACROSS;
            }
        }
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stem that forks into two at (0.5, 0), at potential −0.5.
    fn fork() -> Valleys {
        let mut valleys = Valleys::new();
        valleys.push(None, [0.5, 0.0], 0.5);
        valleys.push(Some(0), [1.0, 0.5], 0.5);
        valleys.push(Some(0), [1.0, -0.5], 0.5);
        valleys
    }

    #[test]
    fn the_potential_falls_along_a_valley_and_rises_across_it() {
        let valleys = fork();
        assert_eq!([0, 1, 2].map(|v| valleys.is_leaf(v)), [false, true, true]);
        let potential = |p| valleys.blend(p).potential();
        assert!((potential([0.25, 0.0]) + 0.25).abs() < 1e-9);
        assert!((potential([0.25, 0.1]) + 0.25 - 0.5 * WALL * 0.01).abs() < 1e-9);
        assert!((potential([1.0, 0.5]) - valleys.bottom(1)).abs() < 1e-9);
        assert_eq!(valleys.blend([0.9, -0.4]).deepest, 2);
    }

    #[test]
    fn the_pass_between_two_leaves_lies_on_the_line_between_them_a_little_below_the_fork() {
        let valleys = fork();
        // on the line, at a distance x: −0.5 − x + (k/4) x² − T ln 2, least at x = 2/k
        let lowest = -0.5 - 1.0 / WALL - BLEND * 2_f64.ln();
        for leaf in [1, 2] {
            let pass = valleys.pass(leaf);
            assert!((pass - lowest).abs() < 0.004, "{pass} {lowest}");
        }
    }

    #[test]
    fn a_cell_before_a_fork_is_in_neither_of_the_valleys_after_it() {
        let valleys = fork();
        let before = valleys.blend([0.49, 0.0]);
        assert_eq!((before.deepest, before.entered), (1, 0), "the valleys after the fork are lower there");
        assert_eq!([[0.52, 0.01], [0.52, -0.01]].map(|p| valleys.blend(p).entered), [1, 2]);
    }

    #[test]
    fn a_place_is_shared_among_leaves_only() {
        let valleys = fork();
        let shares = valleys.among_leaves([0.1, 0.0]);
        assert!((shares[1] - 0.5).abs() < 1e-9 && (shares[2] - 0.5).abs() < 1e-9, "{shares:?}");
        assert!(valleys.among_leaves([0.9, 0.4])[1] > 0.999);
    }
}
