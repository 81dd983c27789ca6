//! The search of the released code, which draws everything from one random stream.
//!
//! Skipping random numbers is cheap (`mersenne.rs`). One thread advances along the stream and saves
//! the state at the start of each candidate's orbit; meanwhile all threads measure the previous block
//! of candidates.

use std::ops::{ControlFlow, RangeInclusive};

use rayon::prelude::*;

use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::released::Orbit;
use crate::formula::ifs::{Ifs, Map};
use crate::machine::with_scratch;
use crate::mersenne::Mersenne;
use crate::simd::Simd;

/// The candidates, in blocks.
pub(in crate::formula::ifs) struct Candidates {
    stream: Stream,
    measure: Measure,
    block: usize,
    /// The next block, not yet measured.
    drawn: Vec<Candidate>,
}

impl Candidates {
    pub(in crate::formula::ifs) fn new(
        seed: u32,
        maps: RangeInclusive<u32>,
        measure: Measure,
        block: usize,
    ) -> Self {
        let mut stream = Stream { numbers: Mersenne::numpy(seed), maps, num_points: measure.num_points };
        let drawn = stream.by_ref().take(block).collect();
        Self { stream, measure, block, drawn }
    }

    /// Measures a block while drawing the next. `None` stands for a candidate whose determinants are
    /// all 0.
    pub(in crate::formula::ifs) fn measured(
        &mut self,
        simd: Simd,
        to_beat: usize,
    ) -> Vec<Option<(Ifs, usize)>> {
        let Self { stream, measure, block, drawn } = self;
        let current = std::mem::take(drawn);
        let measure_one = |mut candidate: Candidate| {
            let ifs = candidate.ifs.take()?;
            // Separate scratch, so the orbit cached for rendering is not overwritten.
            let lit = with_scratch(|orbit| lit(&ifs, candidate.numbers, measure, to_beat, simd, orbit));
            Some((ifs, lit))
        };
        let (measured, next) = rayon::join(
            || current.into_par_iter().map(measure_one).collect(),
            || stream.take(*block).collect(),
        );
        *drawn = next;
        measured
    }
}

/// A candidate, and the state of the random stream at the start of its orbit.
struct Candidate {
    ifs: Option<Ifs>,
    numbers: Mersenne,
}

/// The random stream, positioned at the next candidate.
struct Stream {
    numbers: Mersenne,
    maps: RangeInclusive<u32>,
    /// The number of points per candidate; its orbit takes one random number for each.
    num_points: usize,
}

impl Iterator for Stream {
    type Item = Candidate;

    /// Draws the maps of a candidate, with parameters uniform in [−1, 1], and skips the random
    /// numbers of its orbit.
    fn next(&mut self) -> Option<Candidate> {
        let Self { numbers, maps, num_points } = self;
        let n = numbers.integer(*maps.start(), *maps.end());
        let maps: Vec<Map> = (0..n).map(|_| std::array::from_fn(|_| -1.0 + 2.0 * numbers.unit())).collect();
        let candidate = Candidate { ifs: Ifs::by_determinant(maps), numbers: numbers.clone() };
        numbers.skip(2 * *num_points);
        Some(candidate)
    }
}

/// Counts the pixels that the candidate lights; 0 as soon as the count cannot exceed `to_beat`.
fn lit(
    ifs: &Ifs,
    mut numbers: Mersenne,
    measure: &Measure,
    to_beat: usize,
    simd: Simd,
    orbit: &mut Orbit,
) -> usize {
    let Measure { size, num_points, margin } = *measure;
    orbit.play(&ifs.maps, &ifs.probabilities, num_points, simd, |_, units| numbers.units(units));
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
