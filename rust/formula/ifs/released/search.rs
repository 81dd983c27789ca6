//! The program's search: one random stream for everything, drawn in order.
//!
//! Drawing alone is cheap (`mersenne.rs`), so one thread walks along the stream and notes where
//! each candidate's orbit starts, while all play and measure the candidates before.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::released::Orbit;
use crate::formula::ifs::{Ifs, Map};
use crate::mersenne::Mersenne;
use crate::render::with_scratch;
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
        let mut stream = Stream { numbers: Mersenne::numpy(seed), maps, points: measure.points };
        let drawn = stream.by_ref().take(block).collect();
        Self { stream, measure, block, drawn }
    }

    /// Measures a block and draws the next. `None` stands for a candidate without any area.
    pub(in crate::formula::ifs) fn measured(&mut self, simd: Simd) -> Vec<Option<(Ifs, f64)>> {
        let Self { stream, measure, block, drawn } = self;
        let now = std::mem::take(drawn);
        let rated = |mut candidate: Candidate| {
            let ifs = candidate.ifs.take()?;
            let rate = with_scratch(simd, |scratch| {
                fill_rate(&ifs, candidate.numbers, measure, simd, scratch.replay.free_orbit())
            });
            Some((ifs, rate))
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
    /// Dots of a candidate, so numbers drawn for its orbit.
    points: usize,
}

impl Iterator for Stream {
    type Item = Candidate;

    /// Draws n maps of six numbers from [−1, 1], and passes over the orbit's numbers.
    fn next(&mut self) -> Option<Candidate> {
        let Self { numbers, maps, points } = self;
        let n = numbers.integer(*maps.start(), *maps.end());
        let maps: Vec<Map> = (0..n).map(|_| std::array::from_fn(|_| -1.0 + 2.0 * numbers.unit())).collect();
        let candidate = Candidate { ifs: Ifs::by_determinant(maps), numbers: numbers.clone() };
        numbers.skip(2 * *points);
        Some(candidate)
    }
}

/// Returns the share of pixels that the candidate lights.
fn fill_rate(ifs: &Ifs, mut numbers: Mersenne, measure: &Measure, simd: Simd, orbit: &mut Orbit) -> f64 {
    let Measure { size, points, pad } = *measure;
    orbit.play(&ifs.maps, &ifs.probabilities, points, simd, |_, units| numbers.units(units));
    orbit.rescale(size, size, pad, simd);
    // A bit a pixel stays in the nearest cache.
    let mut lit = vec![0u64; (size * size).div_ceil(64)];
    for (row, column) in orbit.cells() {
        if row < size && column < size {
            let pixel = row * size + column;
            lit[pixel / 64] |= 1 << (pixel % 64);
        }
    }
    let count: u32 = lit.iter().map(|word| word.count_ones()).sum();
    f64::from(count) / (size * size) as f64
}
