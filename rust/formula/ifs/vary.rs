//! From the number of an instance to how it differs from its category.

use crate::address::{At, Purpose};
use crate::formula::ifs::Map;
use crate::formula::ifs::style::Variation;
use crate::frame::FLIPS;

/// The variation of the parameters.
const VARIATION: Purpose = Purpose(3);

/// Weight rows: the category itself, and four factors for each of six letters.
pub const ROWS: u64 = 25;
/// Patch draws of a weight row, in the authors' first thousand instances.
pub const PATCHES: u64 = 10;
/// Instances in one walk over the grid; the next thousand differ in their patch draws.
pub const GRID: u64 = ROWS * PATCHES * FLIPS;

/// The weight row that scales nothing.
const UNSCALED: u64 = 2;

/// A place on the authors' grid: `index = weight·40 + patch·4 + flip`, and beyond 999 the
/// same grid again with new patch draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0…24
    pub weight: u64,
    /// 0…9 in the first thousand instances, 10…19 in the second, without end.
    pub patch: u64,
    /// Bit 0 flips top and bottom, bit 1 left and right.
    pub flip: u64,
}

impl Place {
    /// Finds the place of an instance.
    pub fn of(index: u64) -> Self {
        let within = index % GRID;
        Self {
            weight: within / (PATCHES * FLIPS),
            patch: index / GRID * PATCHES + within % (PATCHES * FLIPS) / FLIPS,
            flip: within % FLIPS,
        }
    }
}

/// Scales one letter of every map, as the variation and the address say. The probabilities stay as
/// they are. Fills `varied`. `as_written` rounds a factor of the grid.
pub(crate) fn vary(
    maps: &[Map],
    variation: Variation,
    at: At<'_>,
    as_written: fn(f64) -> f64,
    varied: &mut Vec<Map>,
) {
    varied.clear();
    varied.extend_from_slice(maps);
    let mut rng = at.rng(VARIATION);
    let (letter, factor) = match variation {
        Variation::Identity => return,
        Variation::Grid(w) => {
            let row = if at.attempt == 0 { Place::of(at.index()).weight } else { rng.below(ROWS) };
            if row == UNSCALED {
                return;
            }
            let (letter, factor) = row_of_the_grid(row, w);
            (letter, as_written(factor))
        }
        Variation::Continuous(w) => (rng.below(6) as usize, rng.between(1.0 - 2.0 * w, 1.0 + 2.0 * w)),
    };
    for map in varied {
        map[letter] *= factor;
    }
}

/// Returns the letter (0 is a, 5 is f) and the factor of a weight row other than 2.
fn row_of_the_grid(row: u64, w: f64) -> (usize, f64) {
    // Rows 0 1 3 4 scale a, 5…8 b, 9…12 c, and so on: four a letter once 2 is left out.
    let scaled = if row < UNSCALED { row } else { row - 1 };
    let steps = [-2.0, -1.0, 1.0, 2.0][(scaled % 4) as usize];
    let factor = 1.0 + steps * w;
    // A factor of 0 (at w = 0.5) would collapse the system; the paper takes 0.01.
    ((scaled / 4) as usize, if factor == 0.0 { 0.01 } else { factor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_the_authors_grid() {
        let place = |weight, patch, flip| Place { weight, patch, flip };
        assert_eq!(Place::of(0), place(0, 0, 0));
        assert_eq!(Place::of(999), place(24, 9, 3));
        assert_eq!(Place::of(7 * 40 + 6 * 4 + 1), place(7, 6, 1));
        assert_eq!(Place::of(1000), place(0, 10, 0));
        assert_eq!(Place::of(2999), place(24, 29, 3));
    }

    #[test]
    fn the_rows_are_the_authors_rows() {
        let rows: Vec<_> =
            (0..ROWS).filter(|&row| row != UNSCALED).map(|row| row_of_the_grid(row, 0.5)).collect();
        assert_eq!(rows[..5], [(0, 0.01), (0, 0.5), (0, 1.5), (0, 2.0), (1, 0.01)]);
        assert_eq!(rows[23], (5, 2.0));
    }
}
