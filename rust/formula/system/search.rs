//! What searches for systems share: their limits, and the candidates that are accepted.

use crate::address::Rng;
use crate::error::Error;
use crate::formula::system::System;
use crate::formula::system::replay::Replayed;

/// How candidates are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// Each candidate from its own address.
    Fdsl,
    /// As in the authors' released code, bit for bit.
    Released,
}

/// Limits of a search.
pub(in crate::formula) struct Limits {
    pub(in crate::formula) categories: usize,
    pub(in crate::formula) min_maps: usize,
    pub(in crate::formula) max_maps: usize,
    pub(in crate::formula) max_tries: u64,
    pub(in crate::formula) sampler: Sampler,
    pub(in crate::formula) seed: u64,
}

impl Limits {
    /// Checks that they are in range.
    pub(in crate::formula) fn check(&self) -> Result<(), Error> {
        if self.categories == 0 {
            return Err(Error::Zero("categories"));
        }
        if !(1 <= self.min_maps && self.min_maps <= self.max_maps && self.max_maps <= 256) {
            return Err(Error::MapRange { min: self.min_maps, max: self.max_maps });
        }
        if self.max_tries == 0 {
            return Err(Error::Zero("max_tries"));
        }
        if self.sampler == Sampler::Released && self.seed > u64::from(u32::MAX) {
            return Err(Error::ReleasedSeed(self.seed));
        }
        Ok(())
    }

    /// Draws the maps of a candidate of ours, with parameters uniform in [−1, 1].
    pub(in crate::formula) fn maps<const N: usize>(&self, rng: &mut Rng) -> Vec<[f64; N]> {
        let n = self.min_maps as u64 + rng.below((self.max_maps - self.min_maps) as u64 + 1);
        (0..n).map(|_| std::array::from_fn(|_| rng.between(-1.0, 1.0))).collect()
    }

    /// Returns the candidates of the released code, `block` at a time, if that is the sampler. See
    /// [`Replayed::new`] for the other arguments.
    pub(in crate::formula) fn replayed<T: Send, const N: usize>(
        &self,
        num_points: usize,
        weigh: fn(Vec<[f64; N]>) -> Option<T>,
        block: usize,
    ) -> Option<Replayed<T, N>> {
        // `check` limits the numbers of maps to 256, and the seed of this sampler to 32 bits.
        let (seed, maps) = (self.seed as u32, self.min_maps as u32..=self.max_maps as u32);
        (self.sampler == Sampler::Released).then(|| Replayed::new(seed, maps, num_points, weigh, block))
    }
}

/// A callback, told how many categories were found and how many candidates tried, that returns whether to stop.
pub type Progress<'a> = &'a mut dyn FnMut(usize, u64) -> bool;

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Found<const N: usize> {
    /// The categories, in the order of their candidates.
    pub categories: Vec<System<N>>,
    /// The number of candidates up to and including the last one accepted.
    pub tried: u64,
}

/// Categories with their measures, and how many candidates were tried.
pub(in crate::formula) type Accepted<T, M> = (Vec<(T, M)>, u64);

/// Takes candidates in the order of their numbers until enough are accepted; returns them with their
/// measures, and how many were tried.
///
/// `candidates(n, best)` returns the next candidates after the first `n`; `best` is the best measure
/// rejected so far, at first `least`. Accepts `wanted` candidates, and gives up after `max_tries`
/// rejections in a row.
pub(in crate::formula) fn accepted<T, M: Copy + PartialOrd>(
    (wanted, max_tries): (usize, u64),
    least: M,
    mut candidates: impl FnMut(u64, M) -> Result<Vec<Option<(T, M)>>, Error>,
    accepts: impl Fn(M) -> bool,
    gave_up: impl Fn(u64, &[(T, M)], M) -> Error,
    progress: Progress<'_>,
) -> Result<Accepted<T, M>, Error> {
    let mut found = vec![];
    let (mut best, mut last_accepted, mut tried) = (least, 0, 0);
    loop {
        for candidate in candidates(tried, best)? {
            tried += 1;
            match candidate {
                Some((category, measure)) if accepts(measure) => {
                    found.push((category, measure));
                    last_accepted = tried;
                    if found.len() == wanted {
                        // The work is done, but a Ctrl-C must not be lost.
                        return if progress(wanted, tried) {
                            Err(Error::Interrupted)
                        } else {
                            Ok((found, tried))
                        };
                    }
                }
                Some((_, measure)) if measure > best => best = measure,
                _ => {}
            }
            if tried - last_accepted >= max_tries {
                return Err(gave_up(tried, &found, best));
            }
        }
        if progress(found.len(), tried) {
            return Err(Error::Interrupted);
        }
    }
}
