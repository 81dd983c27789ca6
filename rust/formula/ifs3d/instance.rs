//! From the index of an image to its instance and its view.

use crate::address::At;
use crate::formula::ifs3d::{Map, Style};
use crate::formula::interface::Compat;

/// Views of an instance, for each axis.
pub(super) const VIEWS: u64 = 12;
/// Weight rows: the category itself, and twelve factors for each of twelve coefficients.
pub(super) const ROWS: u64 = 145;
/// The weight row that scales nothing.
pub(super) const UNSCALED: u64 = 6;

/// Factors per coefficient.
const FACTORS: u64 = 12;
/// A row of the released code that repeats another one, and that other one.
const REPEATED: (u64, u64) = (108, 99);

/// An image among those of its category: `index = (145·round + row)·V + view` with V = 12, 144 or 1,728
/// views, and with four indices per image if the index also selects a flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Number of the cloud within the category: all rows in turn, then again with different points.
    pub(super) cloud: u64,
    /// 0…V−1
    pub(super) view: u64,
}

impl Slot {
    /// Finds the cloud and the view of an image.
    pub(super) fn of(at: At<'_>, style: &Style) -> Self {
        let (image, views) = (at.image_number(), VIEWS.pow(style.view.axes()));
        Self { cloud: image / views, view: image % views }
    }

    /// Returns the weight row, 0…144.
    pub(super) fn row(self) -> u64 {
        self.cloud % ROWS
    }
}

/// Fills `scaled`: scales the coefficient that the weight row selects in every map, by 1 ± w·k/6 for
/// k = 1…6. The probabilities do not change.
pub(super) fn scale(
    maps: &[Map],
    row: u64,
    variation: Option<f64>,
    compat: Option<Compat>,
    scaled: &mut Vec<Map>,
) {
    scaled.clear();
    scaled.extend_from_slice(maps);
    let row = if compat.is_some() && row == REPEATED.0 { REPEATED.1 } else { row };
    if let Some(w) = variation
        && row != UNSCALED
    {
        let (letter, factor) = letter_and_factor(row, w);
        for map in scaled {
            map[letter] *= factor;
        }
    }
}

/// Returns the coefficient (0 is a, 11 is l) and the factor of a weight row other than 6.
fn letter_and_factor(row: u64, w: f64) -> (usize, f64) {
    // Rows 0–5 and 7–12 scale a, 13–24 b, and so on: without row 6, twelve per coefficient.
    let scaled = if row < UNSCALED { row } else { row - 1 };
    let step =
        [-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0][(scaled % FACTORS) as usize];
    // The published files have 0.9, which differs from 1 − 0.6/6 in the last digits.
    let factor = ((1.0 + step * w / 6.0) * 1e9).round() / 1e9;
    // A factor of 0 (at w = 1) would flatten the cloud.
    ((scaled / FACTORS) as usize, if factor == 0.0 { 0.01 } else { factor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_rows_are_those_of_the_released_code() {
        let first: Vec<_> =
            (0..13).filter(|&row| row != UNSCALED).map(|row| letter_and_factor(row, 0.6)).collect();
        let factors = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6];
        assert_eq!(first, factors.map(|factor| (0, factor)));
        assert_eq!(letter_and_factor(13, 0.6), (1, 0.4));
        assert_eq!(letter_and_factor(108, 0.6), (8, 1.6));
        assert_eq!(letter_and_factor(144, 0.6), (11, 1.6));
    }

    #[test]
    fn the_program_has_one_row_twice_and_ours_are_all_different() {
        let rows = |compat| -> std::collections::BTreeSet<Vec<u64>> {
            let scaled = |row| {
                let mut scaled = vec![];
                scale(&[[1.0; 12]], row, Some(0.6), compat, &mut scaled);
                scaled[0].iter().map(|letter| letter.to_bits()).collect()
            };
            (0..ROWS).map(scaled).collect()
        };
        assert_eq!((rows(None).len(), rows(Some(Compat::Released)).len()), (145, 144));
    }
}
