//! The variation of an instance: how its parameters differ from those of its category.

use crate::address::{At, Purpose};
use crate::formula::ifs::Map;
use crate::formula::ifs::style::Variation;
use crate::frame::FLIPS;

/// The variation of the parameters.
const VARIATION: Purpose = Purpose(3);

/// Weight rows: the category itself, and four factors for each of the six parameters of a map.
pub const ROWS: u64 = 25;
/// Patch seeds per weight row in the authors' thousand instances.
pub const PATCHES: u64 = 10;
/// Instances on the grid. The next thousand have the same weights and flips, and new patch seeds.
pub const GRID: u64 = ROWS * PATCHES * FLIPS;

/// The weight row that leaves the category unchanged.
const UNSCALED: u64 = 2;

/// A cell of the authors' grid: `index = weight·40 + patch·4 + flip`. From 1000 on, the grid repeats
/// with new patch seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridCell {
    /// The weight row, 0 to 24.
    pub weight: u64,
    /// The patch seed: 0 to 9 in the first thousand instances, 10 to 19 in the second, and so on.
    pub patch: u64,
    /// Bit 0 flips top and bottom, bit 1 left and right.
    pub flip: u64,
}

impl GridCell {
    /// Returns the cell of an instance.
    pub fn of(index: u64) -> Self {
        let within = index % GRID;
        Self {
            weight: within / (PATCHES * FLIPS),
            patch: index / GRID * PATCHES + within % (PATCHES * FLIPS) / FLIPS,
            flip: within % FLIPS,
        }
    }
}

/// Fills `varied` with the maps of an instance: one parameter of every map is scaled, chosen by the
/// variation and the address. The probabilities do not change. `round` is applied to the factors of
/// the grid.
pub(crate) fn vary(
    maps: &[Map],
    variation: Variation,
    at: At<'_>,
    round: fn(f64) -> f64,
    varied: &mut Vec<Map>,
) {
    varied.clear();
    varied.extend_from_slice(maps);
    let mut rng = at.rng(VARIATION);
    let (parameter, factor) = match variation {
        Variation::Identity => return,
        Variation::Grid(w) => {
            let row = if at.attempt == 0 { GridCell::of(at.index()).weight } else { rng.below(ROWS) };
            if row == UNSCALED {
                return;
            }
            let (parameter, factor) = scaling(row, w);
            (parameter, round(factor))
        }
        Variation::Continuous(w) => (rng.below(6) as usize, rng.between(1.0 - 2.0 * w, 1.0 + 2.0 * w)),
    };
    for map in varied {
        map[parameter] *= factor;
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
        let cell = |weight, patch, flip| GridCell { weight, patch, flip };
        assert_eq!(GridCell::of(0), cell(0, 0, 0));
        assert_eq!(GridCell::of(999), cell(24, 9, 3));
        assert_eq!(GridCell::of(7 * 40 + 6 * 4 + 1), cell(7, 6, 1));
        assert_eq!(GridCell::of(1000), cell(0, 10, 0));
        assert_eq!(GridCell::of(2999), cell(24, 29, 3));
    }

    #[test]
    fn the_factors_are_the_authors_factors() {
        let rows: Vec<_> = (0..ROWS).filter(|&row| row != UNSCALED).map(|row| scaling(row, 0.5)).collect();
        assert_eq!(rows[..5], [(0, 0.01), (0, 0.5), (0, 1.5), (0, 2.0), (1, 0.01)]);
        assert_eq!(rows[23], (5, 2.0));
    }
}
