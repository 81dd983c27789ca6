//! The filling rate of a candidate of the released search, measured on its float64 orbit.

use std::ops::ControlFlow;

use crate::formula::ifs::Ifs;
use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::released::Orbit;
use crate::mersenne::Mersenne;
use crate::simd::Simd;

/// Counts the pixels that the candidate lights; 0 as soon as the count cannot exceed `to_beat`.
pub(in crate::formula::ifs) fn lit(
    ifs: &Ifs,
    mut numbers: Mersenne,
    measure: &Measure,
    to_beat: usize,
    simd: Simd,
    orbit: &mut Orbit,
) -> usize {
    let Measure { size, num_points, margin } = *measure;
    orbit.play(ifs.maps(), ifs.probabilities(), num_points, simd, |_, units| numbers.units(units));
    // With one bit per pixel, this fits in the L1 cache.
    let mut lit = vec![0u64; (size * size).div_ceil(64)];
    let (mut count, mut left) = (0, orbit.points());
    orbit.pixels([size, size], margin, simd, |rows, columns| {
        for (&row, &column) in rows.iter().zip(columns) {
            let (row, column) = (usize::from(row), usize::from(column));
            if row < size && column < size {
                let pixel = row * size + column;
                let bit = 1 << (pixel % 64);
                count += usize::from(lit[pixel / 64] & bit == 0);
                lit[pixel / 64] |= bit;
            }
        }
        left -= rows.len();
        if count + left > to_beat { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if count > to_beat { count } else { 0 }
}
