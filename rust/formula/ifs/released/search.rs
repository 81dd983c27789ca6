//! The program's search: one random stream for everything, drawn in order.
//!
//! Drawing alone is cheap (`mersenne.rs`), so one thread walks along the stream and notes where
//! each candidate's orbit starts; playing and measuring them is shared by all.

use crate::formula::ifs::released::Orbit;
use crate::formula::ifs::search::Measure;
use crate::formula::ifs::{Ifs, Map};
use crate::mersenne::Mersenne;
use crate::simd::Simd;

/// The stream, at the next candidate.
pub(in crate::formula::ifs) struct Candidates {
    stream: Mersenne,
    min_maps: u32,
    max_maps: u32,
    /// Dots of a candidate, so numbers drawn for its orbit.
    points: usize,
}

/// A candidate, and the stream where its orbit starts.
pub(in crate::formula::ifs) struct Candidate {
    /// `None` when its maps have no area.
    pub(in crate::formula::ifs) ifs: Option<Ifs>,
    stream: Mersenne,
}

impl Candidates {
    pub(in crate::formula::ifs) fn new(seed: u32, min_maps: u32, max_maps: u32, points: usize) -> Self {
        Self { stream: Mersenne::numpy(seed), min_maps, max_maps, points }
    }
}

impl Iterator for Candidates {
    type Item = Candidate;

    /// Draws n maps of six numbers from [−1, 1], and passes over the orbit's numbers.
    fn next(&mut self) -> Option<Candidate> {
        let n = self.stream.integer(self.min_maps, self.max_maps);
        let stream = &mut self.stream;
        let maps: Vec<Map> = (0..n).map(|_| std::array::from_fn(|_| -1.0 + 2.0 * stream.unit())).collect();
        let candidate = Candidate { ifs: Ifs::by_determinant(maps), stream: stream.clone() };
        stream.skip(2 * self.points);
        Some(candidate)
    }
}

impl Candidate {
    /// Returns the share of pixels that the candidate lights.
    pub(in crate::formula::ifs) fn fill_rate(
        &mut self,
        measure: &Measure,
        simd: Simd,
        orbit: &mut Orbit,
    ) -> f64 {
        let Some(ifs) = &self.ifs else { return 0.0 };
        let Measure { size, points, pad } = *measure;
        orbit.play(&ifs.maps, &ifs.probabilities, points, simd, |_, units| self.stream.units(units));
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
}
