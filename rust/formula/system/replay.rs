//! The candidates of the authors' released searches, which draw everything from one random stream.
//!
//! Skipping random numbers is cheap (`mersenne.rs`). One thread advances along the stream and saves
//! the state at the start of each candidate's orbit; meanwhile all threads measure the previous block
//! of candidates.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use crate::mersenne::Mersenne;

/// The candidates, systems `T` of maps of `N` numbers, in blocks.
pub(in crate::formula) struct Replayed<T, const N: usize> {
    stream: Stream<T, N>,
    block: usize,
    /// The next block, not yet measured.
    drawn: Vec<Candidate<T>>,
}

/// A candidate, and the state of the random stream at the start of its orbit; `None` if it has no
/// probabilities, since all its determinants are 0.
type Candidate<T> = Option<(T, Mersenne)>;

impl<T: Send, const N: usize> Replayed<T, N> {
    /// Starts at the first candidate. `weigh` adds probabilities to its maps; its orbit takes
    /// `num_points` random numbers.
    pub(in crate::formula) fn new(
        seed: u32,
        maps: RangeInclusive<u32>,
        num_points: usize,
        weigh: fn(Vec<[f64; N]>) -> Option<T>,
        block: usize,
    ) -> Self {
        let mut stream = Stream { numbers: Mersenne::numpy(seed), maps, num_points, weigh };
        let drawn = stream.draw(block);
        Self { stream, block, drawn }
    }

    /// Measures a block, given each candidate and the random numbers of its orbit, while drawing the next.
    pub(in crate::formula) fn measured<M: Send>(
        &mut self,
        measure: impl Fn(&T, Mersenne) -> Option<M> + Sync,
    ) -> Vec<Option<(T, M)>> {
        let Self { stream, block, drawn } = self;
        let current = std::mem::take(drawn);
        let measure_one = |candidate: Candidate<T>| {
            let (system, numbers) = candidate?;
            let measured = measure(&system, numbers)?;
            Some((system, measured))
        };
        let (measured, next) =
            rayon::join(|| current.into_par_iter().map(measure_one).collect(), || stream.draw(*block));
        *drawn = next;
        measured
    }
}

/// The random stream, positioned at the next candidate.
struct Stream<T, const N: usize> {
    numbers: Mersenne,
    maps: RangeInclusive<u32>,
    num_points: usize,
    weigh: fn(Vec<[f64; N]>) -> Option<T>,
}

impl<T, const N: usize> Stream<T, N> {
    /// Draws the maps of `candidates` candidates, with parameters uniform in [−1, 1], and skips the
    /// random numbers of their orbits.
    fn draw(&mut self, candidates: usize) -> Vec<Candidate<T>> {
        let Self { numbers, maps, num_points, weigh } = self;
        let candidate = |_| {
            let n = numbers.integer(*maps.start(), *maps.end());
            let maps = (0..n).map(|_| std::array::from_fn(|_| -1.0 + 2.0 * numbers.unit())).collect();
            let candidate = weigh(maps).map(|system| (system, numbers.clone()));
            numbers.skip(2 * *num_points);
            candidate
        };
        (0..candidates).map(candidate).collect()
    }
}
