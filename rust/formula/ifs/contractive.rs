//! Random contractive systems, built from singular values instead of searched for (Anderson and
//! Farrell, "Improving Fractal Pre-training", WACV 2022). The rules are those of the released
//! program (MIT license), read off it; the random numbers are ours.
//!
//! Each map is U·diag(s₁, s₂)·V with rotations (or reflections) U and V. The weighted sum
//! Σ(s₁ + 2·s₂) over the maps of a system is drawn first, because it decides how full the image
//! is; the singular values are then drawn so that they add up to it and lie between 0 and 1.

use crate::address::{Address, Purpose, Rng};
use crate::error::Error;
use crate::formula::ifs::{Ifs, Map, area};
use crate::formula::interface::Formula;
use crate::machine::{Clock, InterruptCheck, Watch};

/// The number of maps, the singular values, the angles and the shifts of a system.
const CONTRACTIVE: Purpose = Purpose(15);
/// Attempts at a system with an area.
const ATTEMPTS: u64 = 100;

/// What to sample.
#[derive(Clone, Copy, Debug)]
pub struct Contractive {
    /// Distinguishes one sample from another.
    pub seed: u64,
    /// The number of maps is uniform in `min_maps ..= max_maps`.
    pub min_maps: usize,
    /// At most 256.
    pub max_maps: usize,
    /// The range of the weighted sum of singular values; if `None`, (5 + n)/2 to (6 + n)/2 for n
    /// maps, as in the released code.
    pub sum: Option<[f64; 2]>,
}

impl Contractive {
    /// Samples systems 0 to `categories`; system k depends only on the settings and k.
    ///
    /// # Errors
    ///
    /// Returns [`Error::ContractiveMaps`] unless 2 ≤ `min_maps` ≤ `max_maps` ≤ 256, and
    /// [`Error::SingularSum`] unless 0 < low ≤ high < 3 · `min_maps` for the range `sum`. Returns
    /// [`Error::NoArea`] if `sum` is so small that every map of a system collapses to a line in each of 100
    /// attempts, and [`Error::Interrupted`] once `interrupted` returns true.
    pub fn sample(&self, categories: usize, interrupted: InterruptCheck<'_>) -> Result<Vec<Ifs>, Error> {
        if !(2 <= self.min_maps && self.min_maps <= self.max_maps && self.max_maps <= 256) {
            return Err(Error::ContractiveMaps { min: self.min_maps, max: self.max_maps });
        }
        if let Some([low, high]) = self.sum {
            // n maps whose singular values are all at most 1 add up to 3n at most, and the first
            // n − 1 must leave the last something to share.
            let most = 3.0 * self.min_maps as f64;
            if !(0.0 < low && low <= high && high < most) {
                return Err(Error::SingularSum { low, high, most });
            }
        }
        let clock = Clock::new(interrupted);
        let system = |k| if clock.stopped() { Err(Error::Interrupted) } else { self.system(k) };
        (0..categories as u64).map(system).collect()
    }

    /// Samples system `k`. Retries if every map collapses to a line, which only a tiny sum causes.
    fn system(&self, k: u64) -> Result<Ifs, Error> {
        for attempt in 0..ATTEMPTS {
            let address = Address { seed: self.seed, category: 0, index: k };
            let mut rng = address.rng(Ifs::FORMAT, CONTRACTIVE, attempt);
            let n = self.min_maps as u64 + rng.below((self.max_maps - self.min_maps) as u64 + 1);
            let maps = self.maps(n as usize, &mut rng);
            if let Some(ifs) = Ifs::by_volume(maps, area) {
                return Ok(ifs);
            }
        }
        let [low, high] = self.sum.unwrap_or_default();
        Err(Error::NoArea { tried: ATTEMPTS, low, high })
    }

    fn maps(&self, n: usize, rng: &mut Rng) -> Vec<Map> {
        let [low, high] = self.sum.unwrap_or([(5 + n) as f64 / 2.0, (6 + n) as f64 / 2.0]);
        let sum = rng.between(low, high);
        let singular = singular_values(n, sum, rng);
        let map = |[s1, s2]: [f64; 2]| {
            let [u, v] = [0, 1].map(|_| orthogonal(rng));
            // U·diag(s₁, s₂)·V, row by row.
            let cell =
                |row: usize, column: usize| u[row][0] * s1 * v[0][column] + u[row][1] * s2 * v[1][column];
            let shift = [0, 1].map(|_| rng.between(-1.0, 1.0));
            [cell(0, 0), cell(0, 1), cell(1, 0), cell(1, 1), shift[0], shift[1]]
        };
        singular.into_iter().map(map).collect()
    }
}

/// Draws n pairs 0 ≤ s₂ ≤ s₁ ≤ 1 with Σ(s₁ + 2·s₂) = `sum`.
fn singular_values(n: usize, sum: f64, rng: &mut Rng) -> Vec<[f64; 2]> {
    // `rest` is what the remaining maps must add up to; `least` is what this one must contribute
    // even if each of its successors contributes the maximum, 3.
    let (mut rest, mut least) = (sum, sum - 3.0 * (n as f64 - 1.0));
    let mut pairs = Vec::with_capacity(n);
    for _ in 1..n {
        let s1 = rng.between((least / 3.0).max(0.0), rest.min(1.0));
        (rest, least) = (rest - s1, least - s1);
        let s2 = rng.between((least / 2.0).max(0.0), s1.min(rest / 2.0));
        (rest, least) = (rest - 2.0 * s2, least - 2.0 * s2 + 3.0);
        pairs.push([s1, s2]);
    }
    let s2 = rng.between(((rest - 1.0) / 2.0).max(0.0), rest / 3.0);
    pairs.push([rest - 2.0 * s2, s2]);
    pairs
}

/// Draws a rotation whose two columns have random signs.
fn orthogonal(rng: &mut Rng) -> [[f64; 2]; 2] {
    let angle = rng.between(-std::f64::consts::PI, std::f64::consts::PI);
    let signs = [0, 1].map(|_| if rng.below(2) == 0 { 1.0 } else { -1.0 });
    let (sin, cos) = libm::sincos(angle); // the same on every platform
    [[cos * signs[0], -sin * signs[1]], [sin * signs[0], cos * signs[1]]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_can_be_interrupted() {
        let sampler = Contractive { seed: 0, min_maps: 2, max_maps: 4, sum: None };
        assert_eq!(sampler.sample(1 << 40, &mut || true).unwrap_err(), Error::Interrupted); // years of work
    }

    #[test]
    fn the_singular_values_add_up_and_contract() {
        let mut rng = Rng::new(3);
        for n in 2..=8 {
            for _ in 0..500 {
                let sum = rng.between((5 + n) as f64 / 2.0, (6 + n) as f64 / 2.0);
                let pairs = singular_values(n, sum, &mut rng);
                assert!(pairs.iter().all(|[s1, s2]| 0.0 <= *s2 && s2 <= s1 && *s1 <= 1.0 + 1e-12));
                let total: f64 = pairs.iter().map(|[s1, s2]| s1 + 2.0 * s2).sum();
                assert!((total - sum).abs() < 1e-12);
            }
        }
    }
}
