//! The random search for categories (paper, section 3.2).
//!
//! Candidate number k is a pure function of (seed, k), and the categories are the first
//! accepted candidates in the order of their numbers: the same for any number of threads.
//!
//! A candidate is dropped as soon as it could not light more pixels than the best of those that
//! were turned down, were every dot that is left to light one of its own. None that would be
//! accepted is lost, and the best stays the best (which a search that fails reports; the threshold
//! itself would be a sharper bound, and lose it); a candidate takes 0.13 ms instead of 0.18.

use std::ops::ControlFlow;

use rayon::prelude::*;

use crate::address::{Address, Purpose};
use crate::error::Error;
use crate::formula::ifs::Ifs;
use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::released::search::Candidates;
use crate::formula::interface::Formula;
use crate::machine::{Machine, with_scratch};
use crate::simd::Simd;

/// The parameters of a candidate category.
const SEARCH: Purpose = Purpose(5);

/// Whose candidates a search looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// This crate's: many orbits at once, drawn from the address.
    Fdsl,
    /// The authors' released program, replayed to the bit.
    Released,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// How many categories.
    pub categories: usize,
    /// The smallest share of lit pixels (paper, Table 2).
    pub fill_rate: f64,
    /// Tells one search from another.
    pub seed: u64,
    /// The number of maps is uniform in `min_maps ..= max_maps`.
    pub min_maps: usize,
    /// The paper says 8; the authors' program stops at 7.
    pub max_maps: usize,
    /// How the filling rate is measured.
    pub measure: Measure,
    /// Gives up after this many candidates in a row without a category.
    pub max_tries: u64,
    /// Whose candidates they are; the released program's seed has 32 bits.
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

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The categories, in the order of their candidates.
    pub categories: Vec<Ifs>,
    /// The filling rate of each, as the search measured it.
    pub fill_rates: Vec<f64>,
    /// Candidates up to and with the last one accepted.
    pub tried: u64,
}

/// Why a search ended without its categories.
#[derive(Debug, PartialEq)]
pub enum Stopped<B> {
    /// It cannot be done as asked.
    Failed(Error),
    /// `progress` broke it off.
    Broken(B),
}

impl<B> From<Error> for Stopped<B> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Search {
    /// Searches. `progress` is told (found, tried) after every few candidates and may break off.
    pub fn run<B>(
        &self,
        machine: &Machine,
        mut progress: impl FnMut(usize, u64) -> ControlFlow<B>,
    ) -> Result<Found, Stopped<B>> {
        self.check()?;
        // Some ten milliseconds of work a thread between two calls of `progress`.
        let work = self.measure.num_points + self.measure.size * self.measure.size;
        let block = ((1 << 25) / work).clamp(1, 64) as u64 * machine.threads()? as u64;
        let mut found = Found { categories: vec![], fill_rates: vec![], tried: 0 };
        // Of those turned down, the most pixels that one lit.
        let (mut best, mut last_accepted, mut tried) = (0, 0, 0);
        let mut released = self.released(block as usize);
        loop {
            let candidates: Vec<Option<(Ifs, usize)>> = machine.install(|| match &mut released {
                Some(candidates) => candidates.measured(machine.simd, best),
                None => (tried..tried + block)
                    .into_par_iter()
                    .map(|k| self.candidate(k, machine.simd, best))
                    .collect(),
            })?;
            for candidate in candidates {
                tried += 1;
                match candidate {
                    Some((ifs, lit)) if self.measure.rate(lit) >= self.fill_rate => {
                        found.categories.push(ifs);
                        found.fill_rates.push(self.measure.rate(lit));
                        last_accepted = tried;
                        if found.categories.len() == self.categories {
                            found.tried = tried;
                            // Ctrl-C must not be lost, though the work is done.
                            return match progress(self.categories, tried) {
                                ControlFlow::Break(why) => Err(Stopped::Broken(why)),
                                ControlFlow::Continue(()) => Ok(found),
                            };
                        }
                    }
                    Some((_, lit)) => best = best.max(lit),
                    None => {}
                }
                if tried - last_accepted >= self.max_tries {
                    let best = found.fill_rates.iter().copied().fold(self.measure.rate(best), f64::max);
                    Err(Error::Search {
                        tried,
                        in_a_row: self.max_tries,
                        fill_rate: self.fill_rate,
                        found: found.categories.len(),
                        wanted: self.categories,
                        best,
                    })?;
                }
            }
            if let ControlFlow::Break(why) = progress(found.categories.len(), tried) {
                return Err(Stopped::Broken(why));
            }
        }
    }

    /// The authors' candidates, if they are asked for, `block` at a time.
    fn released(&self, block: usize) -> Option<Candidates> {
        let maps = self.min_maps as u32..=self.max_maps as u32; // at most 256
        // Of this sampler alone `check` lets no larger seed through.
        (self.sampler == Sampler::Released)
            .then(|| Candidates::new(self.seed as u32, maps, self.measure, block))
    }

    fn check(&self) -> Result<(), Error> {
        if !(self.fill_rate > 0.0 && self.fill_rate <= 1.0) {
            return Err(Error::FillRate(self.fill_rate));
        }
        if self.categories == 0 {
            return Err(Error::NoCategories);
        }
        if !(1 <= self.min_maps && self.min_maps <= self.max_maps && self.max_maps <= 256) {
            return Err(Error::MapRange { min: self.min_maps, max: self.max_maps });
        }
        if self.max_tries == 0 {
            return Err(Error::MaxTries);
        }
        if self.sampler == Sampler::Released && self.seed > u64::from(u32::MAX) {
            return Err(Error::ReleasedSeed(self.seed));
        }
        self.measure.checked().map(|_| ())
    }

    /// Draws candidate `k`, n maps, six numbers each from [−1, 1], and counts the pixels it lights.
    fn candidate(&self, k: u64, simd: Simd, hopeless: usize) -> Option<(Ifs, usize)> {
        let address = Address { seed: self.seed, category: 0, index: k };
        let mut rng = address.rng(Ifs::FORMAT, SEARCH, 0);
        let n = self.min_maps as u64 + rng.below((self.max_maps - self.min_maps) as u64 + 1);
        let maps = (0..n).map(|_| std::array::from_fn(|_| rng.between(-1.0, 1.0))).collect();
        let ifs = Ifs::by_determinant(maps)?;
        let lit = with_scratch(|scratch| self.measure.lit(&ifs, &mut rng, hopeless, simd, scratch));
        Some((ifs, lit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_dropped_only_when_it_lights_no_more_than_the_hopeless() {
        for sampler in [Sampler::Fdsl, Sampler::Released] {
            let search = Search { seed: 3, max_maps: 7, sampler, ..Default::default() };
            for simd in Simd::available() {
                let lit = |hopeless: usize| -> Vec<usize> {
                    let candidates: Vec<_> = match search.released(100) {
                        Some(mut released) => released.measured(simd, hopeless),
                        None => (0..100).map(|k| search.candidate(k, simd, hopeless)).collect(),
                    };
                    candidates.into_iter().map(|candidate| candidate.map_or(0, |(_, lit)| lit)).collect()
                };
                let all = lit(0);
                for hopeless in [1, 10_000, 30_000, 90_000] {
                    let kept = all.iter().map(|&lit| if lit > hopeless { lit } else { 0 });
                    assert!(lit(hopeless).into_iter().eq(kept));
                }
            }
        }
    }
}
