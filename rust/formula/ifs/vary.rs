//! The variation of an instance: how its parameters differ from those of its category.

use crate::address::{At, Purpose, Rng};
use crate::formula::ifs::style::Variation;
use crate::formula::ifs::{Map, contracts};
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

/// Attempts at scaling a map without making it expand.
const MAP_ATTEMPTS: usize = 4;

/// A map whose parameters are all scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scaled {
    pub(super) map: usize,
    pub(super) factor: f64,
}

/// Fills `varied` with the maps of an instance: one parameter of every map is scaled, or all of one
/// map, chosen by the variation and the address. `round` is applied to the factors of the grid.
/// Returns the map that is scaled as a whole, if there is one.
pub(super) fn vary(
    maps: &[Map],
    variation: Variation,
    at: At<'_>,
    round: fn(f64) -> f64,
    varied: &mut Vec<Map>,
) -> Option<Scaled> {
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
        Variation::Map(w) => {
            let scaled = scaled(maps, w, &mut rng)?;
            varied[scaled.map] = maps[scaled.map].map(|parameter| parameter * scaled.factor);
            return Some(scaled);
        }
    };
    for map in varied {
        map[parameter] *= factor;
    }
    None
}

/// Draws a map and a factor that do not make it expand, as the code of "Improving Fractal
/// Pre-training" does; `None` if a few attempts fail.
fn scaled(maps: &[Map], w: f64, rng: &mut Rng) -> Option<Scaled> {
    (0..MAP_ATTEMPTS).find_map(|_| {
        let map = rng.below(maps.len() as u64) as usize; // at most 255
        let factor = rng.between(1.0 - 2.0 * w, 1.0 + w);
        contracts(maps[map].map(|parameter| parameter * factor)).then_some(Scaled { map, factor })
    })
}

impl Scaled {
    /// Fills `weights` with the probabilities of the maps, in proportion to the determinants: that of
    /// the scaled map changes by the square of the factor.
    pub(super) fn weigh<'a>(self, probabilities: &[f64], weights: &'a mut Vec<f64>) -> &'a [f64] {
        weights.clear();
        weights.extend_from_slice(probabilities);
        weights[self.map] *= self.factor * self.factor;
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

    #[test]
    fn a_scaled_map_contracts_and_takes_its_probability_with_it() {
        let maps = [[0.9, 0.0, 0.0, 0.8, 1.0, 2.0], [0.0, 0.95, -0.5, 0.0, 0.3, 0.0]];
        let (mut rng, mut factors, mut weights) = (Rng::new(4), vec![], vec![]);
        for _ in 0..1000 {
            let Some(scaled) = scaled(&maps, 0.1, &mut rng) else { continue };
            let largest = [0.9, 0.95][scaled.map] * scaled.factor;
            assert!(largest <= 1.0 + 1e-12);
            let [first, second] = scaled.weigh(&[0.6, 0.4], &mut weights) else { unreachable!() };
            let square = scaled.factor * scaled.factor;
            let ratio = if scaled.map == 0 { 1.5 * square } else { 1.5 / square };
            assert!((first / second - ratio).abs() < 1e-12 && (first + second - 1.0).abs() < 1e-12);
            factors.push(scaled.factor);
        }
        let [low, high] = [f64::min, f64::max].map(|of| factors.iter().copied().reduce(of).unwrap());
        assert!((0.8..0.801).contains(&low) && (1.09..=1.1).contains(&high) && factors.len() > 990);
        assert_eq!(scaled(&[[5.0, 0.0, 0.0, 1.0, 0.0, 0.0]], 0.1, &mut rng), None);
    }

    #[test]
    fn the_factors_are_the_authors_factors() {
        let rows: Vec<_> = (0..ROWS).filter(|&row| row != UNSCALED).map(|row| scaling(row, 0.5)).collect();
        assert_eq!(rows[..5], [(0, 0.01), (0, 0.5), (0, 1.5), (0, 2.0), (1, 0.01)]);
        assert_eq!(rows[23], (5, 2.0));
    }
}
