//! Evenly spaced streamlines by the method of Jobard and Lefer (1997). A line starts where no other is near and runs in
//! both directions. It ends near another line, where there are no cells, or where the speed is negligible.

use crate::field::Field;

/// A streamline: positions on the embedding from start to end, and the speed at each.
#[derive(Debug, Clone, PartialEq)]
pub struct Streamline {
    /// Places on the embedding.
    pub places: Vec<[f64; 2]>,
    /// Norm of the velocity at each position, in units of the embedding.
    pub speeds: Vec<f64>,
}

/// Minimum distance between lines, as a fraction of their spacing.
const CLOSE: f64 = 0.55;
/// Step length, in grid steps.
const STRIDE: f64 = 0.25;
/// Fraction of the typical speed below which a point counts as at rest.
const STILL: f64 = 0.05;
/// Number of recent steps that a line ignores when checking its distance to itself.
const TAIL: usize = 24;
/// Minimum length of a line, in units of the spacing. Shorter lines are dropped.
const SHORTEST: f64 = 1.6;
/// Maximum number of steps per direction.
const LONGEST: usize = 2000;

/// Computes streamlines of a field. `spacing` is in units of the embedding.
pub(crate) fn streamlines(field: &Field<2>, spacing: f64) -> Vec<Streamline> {
    let mut speeds = Vec::new();
    let mut seeds = Vec::new();
    for row in 0..field.rows {
        for column in 0..field.columns {
            if let (value, true) = field.point(column, row) {
                let speed = length(value);
                speeds.push(speed);
                seeds.push((speed, field.place(column, row)));
            }
        }
    }
    if speeds.is_empty() {
        return Vec::new();
    }
    let middle = speeds.len() / 2;
    let still = STILL * *speeds.select_nth_unstable_by(middle, f64::total_cmp).1;
    // Fastest points first, because their lines are the longest.
    seeds.sort_by(|a, b| b.0.total_cmp(&a.0));

    let mut taken = Near::new(spacing);
    let mut lines = Vec::new();
    for (speed, seed) in seeds {
        if speed <= still || taken.within(seed, spacing) {
            continue;
        }
        let line = trace(field, seed, still, spacing, &taken);
        let long: f64 = line.places.windows(2).map(|p| length([p[1][0] - p[0][0], p[1][1] - p[0][1]])).sum();
        if long >= SHORTEST * spacing {
            line.places.iter().for_each(|&place| taken.add(place));
            lines.push(line);
        }
    }
    lines
}

fn trace(field: &Field<2>, seed: [f64; 2], still: f64, spacing: f64, taken: &Near) -> Streamline {
    let mut own = Near::new(spacing);
    let back = half(field, seed, -1.0, still, spacing, taken, &mut own);
    let forth = half(field, seed, 1.0, still, spacing, taken, &mut own);
    let (places, speeds) = back.into_iter().rev().chain(forth.into_iter().skip(1)).unzip();
    Streamline { places, speeds }
}

/// Integrates from a seed in one direction by the midpoint rule, with steps of equal length.
fn half(
    field: &Field<2>,
    seed: [f64; 2],
    way: f64,
    still: f64,
    spacing: f64,
    taken: &Near,
    own: &mut Near,
) -> Vec<([f64; 2], f64)> {
    let stride = STRIDE * field.step() * way;
    let mut points: Vec<([f64; 2], f64)> = Vec::new();
    let mut place = seed;
    for _ in 0..LONGEST {
        let Some(here) = field.at(place) else { break };
        let speed = length(here);
        if speed <= still || taken.within(place, CLOSE * spacing) || own.within(place, CLOSE * spacing) {
            break;
        }
        points.push((place, speed));
        if points.len() > TAIL {
            own.add(points[points.len() - TAIL].0);
        }
        let halfway = along(place, here, stride / 2.0);
        let Some(middle) = field.at(halfway).filter(|&v| length(v) > 0.0) else { break };
        place = along(place, middle, stride);
    }
    if way < 0.0 {
        // Ignore the points next to the seed, so that they do not stop the second half of the line.
        points.iter().skip(TAIL).for_each(|&(place, _)| own.add(place));
    }
    if points.is_empty() && way < 0.0 {
        points.push((seed, 0.0));
    }
    points
}

fn along(place: [f64; 2], direction: [f64; 2], by: f64) -> [f64; 2] {
    let scale = by / length(direction);
    [place[0] + scale * direction[0], place[1] + scale * direction[1]]
}

fn length([x, y]: [f64; 2]) -> f64 {
    x.hypot(y)
}

/// Positions sorted into squares, for fast queries of nearby positions.
struct Near {
    side: f64,
    squares: std::collections::BTreeMap<(i64, i64), Vec<[f64; 2]>>,
}

impl Near {
    fn new(side: f64) -> Self {
        Self { side, squares: std::collections::BTreeMap::new() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a few hundred squares")]
    fn square(&self, place: [f64; 2]) -> (i64, i64) {
        ((place[0] / self.side).floor() as i64, (place[1] / self.side).floor() as i64)
    }

    fn add(&mut self, place: [f64; 2]) {
        self.squares.entry(self.square(place)).or_default().push(place);
    }

    /// Whether a stored position is nearer than `distance`, which must not exceed the side of a square.
    fn within(&self, place: [f64; 2], distance: f64) -> bool {
        let (column, row) = self.square(place);
        (column - 1..=column + 1).any(|c| {
            (row - 1..=row + 1).any(|r| {
                self.squares
                    .get(&(c, r))
                    .is_some_and(|near| near.iter().any(|p| length([p[0] - place[0], p[1] - place[1]]) < distance))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use sclsd_data::Matrix;

    use super::*;
    use crate::embedding::Places;
    use crate::frame::Frame;

    fn disc(direction: impl Fn([f64; 2]) -> [f64; 2]) -> Vec<Streamline> {
        let points = Matrix::new(
            2,
            (0..6400_u16).flat_map(|i| [f32::from(i % 80) / 8.0 - 5.0, f32::from(i / 80) / 8.0 - 5.0]).collect(),
        );
        let places = Places { basis: "X_umap", points: &points };
        let frame = Frame::around(places.all());
        let field = Field::smooth(places, &frame, 60, 0.7, |cell| direction(places.of(cell)));
        streamlines(&field, 0.5)
    }

    #[test]
    fn lines_of_an_even_wind_are_straight_and_run_with_it() {
        let lines = disc(|_| [1.0, 0.0]);
        assert!(lines.len() > 10);
        for line in &lines {
            for pair in line.places.windows(2) {
                assert!(pair[1][0] > pair[0][0] && (pair[1][1] - pair[0][1]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn lines_of_a_whirl_go_round_it_and_keep_their_distance() {
        let lines = disc(|[x, y]| [-y, x]);
        assert!(lines.len() > 5);
        for line in &lines {
            let radius = |p: &[f64; 2]| p[0].hypot(p[1]);
            let first = radius(&line.places[0]);
            assert!(line.places.iter().all(|p| (radius(p) - first).abs() < 0.1 + 0.05 * first));
        }
        for (i, a) in lines.iter().enumerate() {
            for b in &lines[i + 1..] {
                let apart =
                    a.places.iter().flat_map(|p| b.places.iter().map(move |q| length([p[0] - q[0], p[1] - q[1]])));
                assert!(apart.fold(f64::INFINITY, f64::min) > 0.2);
            }
        }
    }

    #[test]
    fn where_nothing_moves_there_are_no_lines() {
        assert!(disc(|_| [0.0, 0.0]).is_empty());
    }
}
