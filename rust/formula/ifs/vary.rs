//! The variation of an instance: how its parameters differ from those of its category.

use crate::address::{At, Purpose, Rng};
use crate::formula::ifs::style::{Change, Variation};
use crate::formula::ifs::{Map, contracts, singular_values};
use crate::frame::FLIPS;

/// The variation of the parameters.
const VARIATION: Purpose = Purpose(3);

/// Weight rows: the category itself, and four factors for each of the six parameters of a map.
pub(super) const ROWS: u64 = 25;
/// Patch seeds per weight row in the authors' thousand instances.
pub(super) const PATCHES: u64 = 10;
/// Instances on the grid. The next thousand have the same weights and flips, and new patch seeds.
pub(super) const GRID: u64 = ROWS * PATCHES * FLIPS;

/// The weight row that leaves the category unchanged.
const UNSCALED: u64 = 2;

/// Returns the weight row of an instance, 0 to 24, on the authors' grid:
/// `index = weight·40 + patch·4 + flip`. From 1000 on, the grid repeats with new patch seeds.
fn weight_row(index: u64) -> u64 {
    index % GRID / (PATCHES * FLIPS)
}

/// Attempts at changing a map without making it expand.
const MAP_ATTEMPTS: usize = 4;

/// The only map of an instance that differs from its category's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Changed {
    map: usize,
    to: Map,
    /// The factor by which its determinant changed.
    area: f64,
}

/// Fills `varied` with the maps of an instance: one parameter of every map is scaled, or one map
/// changes, chosen by the variation and the address. `round` is applied to the factors of the grid.
/// Returns the map that alone changed, if there is one.
pub(super) fn vary(
    maps: &[Map],
    variation: Variation,
    at: At<'_>,
    round: fn(f64) -> f64,
    varied: &mut Vec<Map>,
) -> Option<Changed> {
    varied.clear();
    varied.extend_from_slice(maps);
    let mut rng = at.rng(VARIATION);
    let (parameter, factor) = match variation {
        Variation::Identity => return None,
        Variation::Grid(w) => {
            let row = if at.attempt == 0 { weight_row(at.index()) } else { rng.below(ROWS) };
            if row == UNSCALED {
                return None;
            }
            let (parameter, factor) = scaling(row, w);
            (parameter, round(factor))
        }
        Variation::Continuous(w) => (rng.below(6) as usize, rng.between(1.0 - 2.0 * w, 1.0 + 2.0 * w)),
        Variation::OneMap(change, w) => {
            let changed = changed(maps, change, w, &mut rng)?;
            varied[changed.map] = changed.to;
            return Some(changed);
        }
    };
    for map in varied {
        map[parameter] *= factor;
    }
    None
}

/// Changes a map without making it expand, as the code of "Improving Fractal Pre-training" does; `None`
/// if a few attempts fail. (That code also leaves a system unchanged if any other map expands.)
fn changed(maps: &[Map], change: Change, w: f64, rng: &mut Rng) -> Option<Changed> {
    (0..MAP_ATTEMPTS).find_map(|_| {
        let map = rng.below(maps.len() as u64) as usize; // at most 255
        let (to, area) = match change {
            Change::Scale => {
                let factor = rng.between(1.0 - 2.0 * w, 1.0 + w);
                (maps[map].map(|parameter| parameter * factor), factor * factor)
            }
            Change::Svd => (turned(maps[map], w, rng), 1.0),
            Change::Sval => {
                let factor = singular_factor(maps, map, w, rng);
                let [a, b, c, d, e, f] = maps[map];
                ([a * factor, b * factor, c * factor, d * factor, e, f], factor * factor)
            }
        };
        contracts(to).then_some(Changed { map, to, area })
    })
}

/// Rotates the plane after a map or before it, or shifts the map.
fn turned([a, b, c, d, e, f]: Map, w: f64, rng: &mut Rng) -> Map {
    let way = rng.below(3);
    if way == 2 {
        return [a, b, c, d, e + rng.between(-w, w), f + rng.between(-w, w)];
    }
    let angle = rng.between(-w, w);
    let (cos, sin) = (libm::cos(angle), libm::sin(angle)); // the same on every platform
    if way == 0 {
        [cos * a - sin * c, cos * b - sin * d, sin * a + cos * c, sin * b + cos * d, e, f]
    } else {
        // The authors rotate V of A = U·S·V. U·S·R·V is A·R, or A·R⁻¹ if V reflects; the two have the
        // same distribution.
        [a * cos + b * sin, b * cos - a * sin, c * cos + d * sin, d * cos - c * sin, e, f]
    }
}

/// Returns the factor of a map's matrix that makes the weighted sum of the singular values of all maps a
/// random one, like that of a new system. It is not finite if the matrix is 0, and negative, as in the
/// authors' code, if the other maps exceed the sum; then the sum is another one.
fn singular_factor(maps: &[Map], map: usize, w: f64, rng: &mut Rng) -> f64 {
    let weighted = |map: &Map| {
        let [first, second] = singular_values(map);
        first + 2.0 * second
    };
    let least = (5.0 + maps.len() as f64) / 2.0;
    let sum: f64 = maps.iter().map(weighted).sum();
    1.0 + (rng.between(least, least + w) - sum) / weighted(&maps[map])
}

impl Changed {
    /// Fills `weights` with the probabilities of the maps, which change with the determinants.
    pub(super) fn weigh<'a>(self, probabilities: &[f64], weights: &'a mut Vec<f64>) -> &'a [f64] {
        weights.clear();
        weights.extend_from_slice(probabilities);
        weights[self.map] *= self.area;
        let sum: f64 = weights.iter().sum();
        if sum > 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        } else {
            weights.copy_from_slice(probabilities); // the only possible map has vanished
        }
        weights
    }
}

/// Returns the parameter (0 for a to 5 for f) and the factor of a weight row other than 2.
fn scaling(row: u64, w: f64) -> (usize, f64) {
    // Rows 0, 1, 3 and 4 scale a, rows 5 to 8 scale b, rows 9 to 12 scale c, and so on.
    let scaled = if row < UNSCALED { row } else { row - 1 };
    let steps = [-2.0, -1.0, 1.0, 2.0][(scaled % 4) as usize];
    let factor = 1.0 + steps * w;
    // A factor of 0 (at w = 0.5) would collapse the system; the paper uses 0.01.
    ((scaled / 4) as usize, if factor == 0.0 { 0.01 } else { factor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_the_authors_grid() {
        assert_eq!([0, 39, 40, 7 * 40 + 6 * 4 + 1, 999].map(weight_row), [0, 0, 1, 7, 24]);
        assert_eq!([1000, 2999].map(weight_row), [0, 24]);
    }

    /// Two maps, the first of singular values 0.9 and 0.8, the second of 0.95 and 0.5.
    const MAPS: [Map; 2] = [[0.9, 0.0, 0.0, 0.8, 1.0, 2.0], [0.0, 0.95, -0.5, 0.0, 0.3, 0.0]];

    /// What a thousand attempts change.
    fn many(maps: &[Map], change: Change, w: f64) -> Vec<Changed> {
        let mut rng = Rng::new(4);
        (0..1000).filter_map(|_| changed(maps, change, w, &mut rng)).collect()
    }

    fn extremes(numbers: impl Iterator<Item = f64>) -> [f64; 2] {
        numbers.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
    }

    fn close(v: f64, expected: f64) -> bool {
        (v - expected).abs() < 1e-12
    }

    #[test]
    fn a_scaled_map_contracts_and_takes_its_probability_with_it() {
        let (changes, mut weights) = (many(&MAPS, Change::Scale, 0.1), vec![]);
        let factor = |changed: &Changed| changed.to[4] / MAPS[changed.map][4];
        for changed in &changes {
            let factor = factor(changed);
            assert!([0.9, 0.95][changed.map] * factor <= 1.0 + 1e-12);
            let [first, second] = changed.weigh(&[0.6, 0.4], &mut weights) else { unreachable!() };
            let square = factor * factor;
            assert!(close(first / second, if changed.map == 0 { 1.5 * square } else { 1.5 / square }));
            assert!(close(first + second, 1.0));
        }
        let [low, high] = extremes(changes.iter().map(factor));
        assert!((0.8..0.801).contains(&low) && (1.09..=1.1).contains(&high) && changes.len() > 990);
    }

    #[test]
    fn a_turned_map_keeps_its_singular_values_and_its_probability() {
        let changes = many(&MAPS, Change::Svd, 0.5);
        assert_eq!(changes.len(), 1000);
        let mut angles = [vec![], vec![]];
        let mut shifts = vec![];
        for &Changed { map, to, area } in &changes {
            let was = MAPS[map];
            let singular = [to, was].map(|map| singular_values(&map));
            assert!(close(singular[0][0], singular[1][0]) && close(singular[0][1], singular[1][1]));
            assert_eq!(area, 1.0);
            if to[..4] == was[..4] {
                shifts.extend([to[4] - was[4], to[5] - was[5]]);
                continue;
            }
            assert_eq!(to[4..], was[4..]);
            if map == 0 {
                // Columns turn after the scaling, rows before it.
                let after = close(to[2] / to[0], -to[1] / to[3]);
                let sine = if after { to[2] } else { -to[1] };
                angles[usize::from(after)].push(libm::atan2(sine, to[0]));
            }
        }
        for numbers in [shifts.iter(), angles[0].iter(), angles[1].iter()] {
            let count = numbers.len();
            let [low, high] = extremes(numbers.copied());
            assert!(count > 100 && low < -0.45 && high > 0.45, "{count} {low} {high}");
        }
        let [low, high] = extremes(shifts.into_iter());
        assert!((-0.5..-0.49).contains(&low) && (0.49..0.5).contains(&high));
    }

    #[test]
    fn a_map_is_scaled_until_the_singular_values_have_a_random_sum() {
        let weighted = |maps: &[Map]| -> f64 {
            maps.iter().map(singular_values).map(|[first, second]| first + 2.0 * second).sum()
        };
        assert!(close(weighted(&MAPS), 0.9 + 1.6 + 0.95 + 1.0));
        // A sum of 3.5 to 4 for two maps, less than now.
        let changes = many(&MAPS, Change::Sval, 0.5);
        let sums = changes.iter().map(|&Changed { map, to, area }| {
            let mut maps = MAPS;
            maps[map] = to;
            let [now, was] = [to, MAPS[map]].map(|map| crate::formula::ifs::area(&map));
            assert!(close(now / was, area) && to[4..] == MAPS[map][4..]);
            weighted(&maps)
        });
        let [low, high] = extremes(sums);
        assert!((3.5..3.505).contains(&low) && (3.99..4.0).contains(&high) && changes.len() == 1000);
    }

    #[test]
    fn a_map_turns_around_if_the_others_exceed_the_sum() {
        let full = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]; // s₁ + 2·s₂ = 3, and a sum of 4 to 4.5 for three maps
        let changes = many(&[full, full, [0.9, 0.0, 0.0, 0.9, 0.0, 0.0]], Change::Sval, 0.5);
        assert!(changes.len() > 900 && changes.iter().all(|changed| changed.to[0] < 0.0));
    }

    #[test]
    fn a_map_that_would_expand_does_not_change() {
        let expands = [[5.0, 0.0, 0.0, 1.0, 0.0, 0.0]];
        assert!(many(&expands, Change::Scale, 0.1).is_empty());
        assert!(many(&expands, Change::Svd, 0.5).is_empty());
        let nothing = [[0.0, 0.0, 0.0, 0.0, 0.5, 0.5]; 3]; // has nothing to scale
        assert!(many(&nothing, Change::Sval, 0.5).is_empty());
    }

    #[test]
    fn the_factors_are_the_authors_factors() {
        let rows: Vec<_> = (0..ROWS).filter(|&row| row != UNSCALED).map(|row| scaling(row, 0.5)).collect();
        assert_eq!(rows[..5], [(0, 0.01), (0, 0.5), (0, 1.5), (0, 2.0), (1, 0.01)]);
        assert_eq!(rows[23], (5, 2.0));
    }
}
