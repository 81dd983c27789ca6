//! The program's search: one random stream for everything, drawn in order.
//!
//! Drawing alone is cheap (`mersenne.rs`), so one thread walks along the stream and notes where
//! each candidate's orbit starts, while all play and measure the candidates before.

use std::ops::{ControlFlow, RangeInclusive};

use rayon::prelude::*;

use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::released::Orbit;
use crate::formula::ifs::released::mersenne::Mersenne;
use crate::formula::ifs::{Ifs, Map};
use crate::machine::with_scratch;
use crate::simd::Simd;

/// The candidates, a block at a time.
pub(in crate::formula::ifs) struct Candidates {
    stream: Stream,
    measure: Measure,
    block: usize,
    /// The next block.
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

    /// Measures a block and draws the next. `None` stands for a candidate without any area.
    pub(in crate::formula::ifs) fn measured(
        &mut self,
        simd: Simd,
        hopeless: usize,
    ) -> Vec<Option<(Ifs, usize)>> {
        let Self { stream, measure, block, drawn } = self;
        let now = std::mem::take(drawn);
        let rated = |mut candidate: Candidate| {
            let ifs = candidate.ifs.take()?;
            // Its own: an orbit kept for rendering stays that of its image.
            let lit = with_scratch(|orbit| lit(&ifs, candidate.numbers, measure, hopeless, simd, orbit));
            Some((ifs, lit))
        };
        let (measured, next) =
            rayon::join(|| now.into_par_iter().map(rated).collect(), || stream.take(*block).collect());
        *drawn = next;
        measured
    }
}

/// A candidate, and the random stream where its orbit starts.
struct Candidate {
    ifs: Option<Ifs>,
    numbers: Mersenne,
}

/// The random stream, at the next candidate.
struct Stream {
    numbers: Mersenne,
    maps: RangeInclusive<u32>,
    /// Points of a candidate, so numbers drawn for its orbit.
    num_points: usize,
}

impl Iterator for Stream {
    type Item = Candidate;

    /// Draws n maps of six numbers from [−1, 1], and passes over the orbit's numbers.
    fn next(&mut self) -> Option<Candidate> {
        let Self { numbers, maps, num_points } = self;
        let n = numbers.integer(*maps.start(), *maps.end());
        let maps: Vec<Map> = (0..n).map(|_| std::array::from_fn(|_| -1.0 + 2.0 * numbers.unit())).collect();
        let candidate = Candidate { ifs: Ifs::by_determinant(maps), numbers: numbers.clone() };
        numbers.skip(2 * *num_points);
        Some(candidate)
    }
}

/// Counts the pixels that the candidate lights; 0 as soon as they cannot be more than `hopeless`.
fn lit(
    ifs: &Ifs,
    mut numbers: Mersenne,
    measure: &Measure,
    hopeless: usize,
    simd: Simd,
    orbit: &mut Orbit,
) -> usize {
    let Measure { size, num_points, margin } = *measure;
    orbit.play(&ifs.maps, &ifs.probabilities, num_points, simd, |_, units| numbers.units(units));
    // A bit a pixel stays in the nearest cache.
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
        if count + left > hopeless { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if count > hopeless { count } else { 0 }
}
