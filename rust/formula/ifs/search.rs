//! The random search for categories (paper, section 3.2).
//!
//! Candidate number k is a pure function of (seed, k). The categories are the first candidates
//! accepted, in the order of their numbers, so the number of threads makes no difference.
//!
//! Measuring a candidate stops as soon as it cannot beat the best rejected candidate, even if every
//! remaining point lit a new pixel: 0.13 ms per candidate instead of 0.18. This never rejects a
//! candidate that is full enough. Comparing with `fill_rate` instead would stop sooner, but then the
//! best filling rate would be unknown, and a failed search reports it.

use std::ops::Range;

use rayon::prelude::*;

use crate::address::{Address, Purpose};
use crate::error::Error;
use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::released;
use crate::formula::ifs::{Ifs, area};
use crate::formula::interface::Formula;
use crate::formula::system::replay::Replayed;
use crate::formula::system::search::{Found, Limits, Progress, Sampler, accepted};
use crate::machine::{Machine, with_scratch};
use crate::simd::Simd;

/// The parameters of a candidate.
const SEARCH: Purpose = Purpose(5);

/// The settings of a search.
#[derive(Clone, Debug)]
pub struct Search {
    /// The number of categories to find.
    pub categories: usize,
    /// The smallest accepted share of lit pixels (paper, Table 2).
    pub fill_rate: f64,
    /// The seed of the candidates; below 2³² for [`Sampler::Released`].
    pub seed: u64,
    /// The fewest maps of a candidate. Their number is uniform in `min_maps..=max_maps`.
    pub min_maps: usize,
    /// The most maps of a candidate: 8 in the paper, 7 in the authors' code.
    pub max_maps: usize,
    /// How the filling rate is measured.
    pub measure: Measure,
    /// The search fails after this many rejected candidates in a row.
    pub max_tries: u64,
    /// How candidates are drawn.
    pub sampler: Sampler,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            categories: 1000,
            fill_rate: 0.2,
            seed: 0,
            min_maps: 2,
            max_maps: 8,
            measure: Measure::default(),
            max_tries: 100_000,
            sampler: Sampler::Fdsl,
        }
    }
}

impl Search {
    /// Runs the search. Calls `progress(found, tried)` several times a second, which may cancel it.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is out of range or the search gives up, and [`Error::Interrupted`] if
    /// `progress` returned true.
    pub fn run(&self, machine: &Machine, progress: Progress<'_>) -> Result<Found<6>, Error> {
        self.check()?;
        // At most a tenth of a second of work between two calls of `progress`. A replayed orbit takes
        // about eight times as long.
        let work = self.measure.num_points + self.measure.size * self.measure.size;
        let at_once = if self.sampler == Sampler::Released { 1 << 22 } else { 1 << 25 };
        let block = (at_once / work).clamp(1, 64) as u64 * machine.parallelism()? as u64;
        let mut replayed = self.replayed(block as usize);
        let candidates = |tried, best| {
            let numbers = tried..tried + block;
            machine.install(|| self.candidates(replayed.as_mut(), numbers, machine.simd, best))
        };
        let gave_up = |tried, found: &[(Ifs, usize)], best: usize| Error::Search {
            tried,
            in_a_row: self.max_tries,
            fill_rate: self.fill_rate,
            found: found.len(),
            wanted: self.categories,
            best: self.measure.rate(found.iter().map(|(_, lit)| *lit).fold(best, usize::max)),
        };
        let accepts = |lit| self.measure.rate(lit) >= self.fill_rate;
        let wanted = (self.categories, self.max_tries);
        let found = accepted(wanted, 0, candidates, accepts, gave_up, progress);
        machine.free_large_scratch(self.measure.memory())?;
        let (found, tried) = found?;
        Ok(Found { categories: found.into_iter().map(|(ifs, _)| ifs).collect(), tried })
    }

    fn check(&self) -> Result<(), Error> {
        let fits = self.fill_rate > 0.0 && self.fill_rate <= 1.0;
        Error::unless(fits, "fill_rate", "above 0 and at most 1", self.fill_rate)?;
        self.limits().check()?;
        self.measure.checked().map(|_| ())
    }

    fn limits(&self) -> Limits {
        let &Self { categories, min_maps, max_maps, max_tries, sampler, seed, .. } = self;
        Limits { categories, min_maps, max_maps, max_tries, sampler, seed }
    }

    /// Returns the candidates of the released code, `block` at a time, if that is the sampler.
    fn replayed(&self, block: usize) -> Option<Replayed<Ifs, 6>> {
        self.limits().replayed(self.measure.num_points, |maps| Ifs::by_volume(maps, area), block)
    }

    /// Returns candidates `numbers`, the next block if they are replayed, and the number of pixels that
    /// each lights. `None` if every determinant is 0; a number is 0 if it cannot exceed `to_beat`.
    fn candidates(
        &self,
        replayed: Option<&mut Replayed<Ifs, 6>>,
        numbers: Range<u64>,
        simd: Simd,
        to_beat: usize,
    ) -> Vec<Option<(Ifs, usize)>> {
        let Some(replayed) = replayed else {
            return numbers.into_par_iter().map(|k| self.candidate(k, simd, to_beat)).collect();
        };
        let lit = |ifs: &Ifs, numbers| {
            // Separate scratch, so the orbit cached for rendering is not overwritten.
            with_scratch(|orbit| released::measure::lit(ifs, numbers, &self.measure, to_beat, simd, orbit))
        };
        replayed.measured(|ifs, numbers| Some(lit(ifs, numbers)))
    }

    fn candidate(&self, k: u64, simd: Simd, to_beat: usize) -> Option<(Ifs, usize)> {
        let address = Address { seed: self.seed, category: 0, index: k };
        let mut rng = address.rng(Ifs::FORMAT, SEARCH, 0);
        let ifs = Ifs::by_volume(self.limits().maps(&mut rng), area)?;
        let lit = with_scratch(|scratch| self.measure.lit(&ifs, &mut rng, to_beat, simd, scratch));
        Some((ifs, lit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_dropped_only_if_it_lights_no_more_pixels_than_the_one_to_beat() {
        for sampler in [Sampler::Fdsl, Sampler::Released] {
            let search = Search { seed: 3, max_maps: 7, sampler, ..Default::default() };
            for simd in Simd::available() {
                let lit = |to_beat: usize| -> Vec<usize> {
                    let mut replayed = search.replayed(100);
                    let candidates = search.candidates(replayed.as_mut(), 0..100, simd, to_beat);
                    candidates.into_iter().map(|candidate| candidate.map_or(0, |(_, lit)| lit)).collect()
                };
                let all = lit(0);
                for to_beat in [1, 10_000, 30_000, 90_000] {
                    let kept = all.iter().map(|&lit| if lit > to_beat { lit } else { 0 });
                    assert!(lit(to_beat).into_iter().eq(kept));
                }
            }
        }
    }
}
