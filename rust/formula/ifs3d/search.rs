//! The random search for categories: candidate number k is a pure function of (seed, k), and the
//! categories are the first accepted candidates in the order of their numbers, for any number of threads.
//!
//! A candidate is accepted if the points of its orbit vary along every axis. Three quarters of the accepted
//! candidates have two maps, and nearly all have a map that expands.

use std::ops::Range;

use rayon::prelude::*;

use crate::address::{Address, Purpose};
use crate::error::Error;
use crate::formula::ifs3d::cloud::Cloud;
use crate::formula::ifs3d::orbit::{self, Maps};
use crate::formula::ifs3d::released::{Replay, determinant};
use crate::formula::ifs3d::{Ifs3d, volume};
use crate::formula::interface::Formula;
use crate::formula::system::ESCAPE_RADIUS;
use crate::formula::system::replay::Replayed;
use crate::formula::system::search::{Found, Limits, Progress, Sampler, accepted};
use crate::machine::{Machine, with_scratch};
use crate::simd::Simd;

/// The parameters of a candidate category.
const SEARCH: Purpose = Purpose(23);
/// Candidates per thread between two calls of `progress`: about ten milliseconds.
const AT_ONCE: u64 = 500;

/// The settings of a search.
#[derive(Clone, Debug)]
pub struct Search {
    /// Number of categories to find.
    pub categories: usize,
    /// The variance along each axis must be larger than this.
    pub threshold: f64,
    /// The seed of the search.
    pub seed: u64,
    /// The number of maps is uniform in `min_maps ..= max_maps`.
    pub min_maps: usize,
    /// See `min_maps`; the released code's is 7.
    pub max_maps: usize,
    /// Points of a candidate's orbit; the released code keeps one fewer.
    pub num_points: usize,
    /// Gives up after this many candidates in a row without a category.
    pub max_tries: u64,
    /// The random numbers to use; the released code's seed has 32 bits.
    pub sampler: Sampler,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            categories: 1000,
            threshold: 0.05,
            seed: 0,
            min_maps: 2,
            max_maps: 7,
            num_points: 10_000,
            max_tries: 1_000_000,
            sampler: Sampler::Fdsl,
        }
    }
}

/// A candidate, and the smallest of its variances.
type Measured = Option<(Ifs3d, f64)>;

impl Search {
    /// Searches. Calls `progress`, which may end the search, with (found, tried) after every few candidates.
    ///
    /// # Errors
    ///
    /// A setting is out of range, too many candidates in a row were rejected, or `progress` ended the search.
    pub fn run(&self, machine: &Machine, progress: Progress<'_>) -> Result<Found<12>, Error> {
        self.check()?;
        let block = AT_ONCE * 10_000 / self.num_points.max(10_000) as u64;
        let block = block.max(1) * machine.parallelism()? as u64;
        let weigh = |maps| Ifs3d::by_volume(maps, determinant);
        let mut replayed = self.limits().replayed(self.num_points, weigh, block as usize);
        let candidates = |tried, _| {
            let numbers = tried..tried + block;
            machine.install(|| self.candidates(replayed.as_mut(), numbers, machine.simd))
        };
        let gave_up = |tried, found: &[(Ifs3d, f64)], best| Error::VarianceSearch {
            tried,
            in_a_row: self.max_tries,
            threshold: self.threshold,
            found: found.len(),
            wanted: self.categories,
            best,
        };
        let accepts = |variance| variance > self.threshold;
        let wanted = (self.categories, self.max_tries);
        let found = accepted(wanted, 0.0, candidates, accepts, gave_up, progress);
        machine.free_large_scratch(44 * self.num_points)?; // of a replay; ours take 12
        let (found, tried) = found?;
        Ok(Found { categories: found.into_iter().map(|(ifs, _)| ifs).collect(), tried })
    }

    fn check(&self) -> Result<(), Error> {
        self.limits().check()?;
        // The variance of coordinates in an interval of length 2 is at most 1.
        let fits = (0.0..1.0).contains(&self.threshold);
        Error::unless(fits, "threshold", "0 or more and below 1", self.threshold)?;
        let fits = (2..=1 << 24).contains(&self.num_points);
        Error::unless(fits, "num_points", "between 2 and 16777216", self.num_points as f64)
    }

    fn limits(&self) -> Limits {
        let &Self { categories, min_maps, max_maps, max_tries, sampler, seed, .. } = self;
        Limits { categories, min_maps, max_maps, max_tries, sampler, seed }
    }

    /// Returns candidates `numbers`, the next block if they are replayed; `None` if they have no volume or
    /// their orbits escape.
    fn candidates(
        &self,
        replayed: Option<&mut Replayed<Ifs3d, 12>>,
        numbers: Range<u64>,
        simd: Simd,
    ) -> Vec<Measured> {
        let Some(replayed) = replayed else {
            return numbers.into_par_iter().map(|k| self.candidate(k, simd)).collect();
        };
        replayed.measured(|ifs, numbers| {
            let variances = with_scratch(|(replay, cloud): &mut (Replay, Cloud)| {
                replay.play(ifs.maps(), ifs.probabilities(), numbers, self.num_points, simd, cloud)
            });
            variances.map(smallest)
        })
    }

    fn candidate(&self, k: u64, simd: Simd) -> Measured {
        let mut rng = Address { seed: self.seed, category: 0, index: k }.rng(Ifs3d::FORMAT, SEARCH, 0);
        let ifs = Ifs3d::by_volume(self.limits().maps(&mut rng), volume)?;
        let variances = with_scratch(|Orbit { maps, cloud }: &mut Orbit| {
            maps.build(ifs.maps(), ifs.probabilities());
            let within_reach = orbit::play(maps, &mut rng, self.num_points, simd, cloud);
            within_reach.then(|| cloud.normalize(ESCAPE_RADIUS, simd))?
        })?;
        Some((ifs, smallest(variances)))
    }
}

fn smallest([x, y, z]: [f64; 3]) -> f64 {
    x.min(y).min(z)
}

/// Memory of a thread for our candidates.
#[derive(Default)]
struct Orbit {
    maps: Maps,
    cloud: Cloud,
}
