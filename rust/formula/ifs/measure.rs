//! The filling rate of a category (paper, section 3.2).

use crate::address::Rng;
use crate::error::Error;
use crate::formula::Scratch;
use crate::formula::ifs::Ifs;
use crate::formula::ifs::orbit;

/// How a filling rate is measured: as points, on a square.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Pixels on each side.
    pub size: usize,
    /// Dots.
    pub points: usize,
    /// Pixels left free on each side of the dots.
    pub pad: usize,
}

impl Default for Measure {
    /// What the authors' search does.
    fn default() -> Self {
        Self { size: 512, points: 100_000, pad: 6 }
    }
}

impl Measure {
    /// Checks the settings against each other.
    pub fn checked(self) -> Result<Self, Error> {
        let rendering = crate::Rendering {
            height: self.size,
            width: self.size,
            points: self.points,
            pad: self.pad,
            ..Default::default()
        };
        rendering.checked().map(|_| self)
    }

    /// Returns the share of pixels that the unscaled category lights; 0 if it escapes.
    pub fn fill_rate(&self, ifs: &Ifs, rng: &mut Rng, scratch: &mut Scratch) -> f64 {
        self.rate(self.lit(ifs, rng, scratch, 0))
    }

    /// Counts the pixels that the unscaled category lights; 0 if it escapes, or as soon as it
    /// cannot light more than `hopeless`.
    pub(super) fn lit(&self, ifs: &Ifs, rng: &mut Rng, scratch: &mut Scratch, hopeless: usize) -> usize {
        let Self { size, points, pad } = *self;
        let Scratch { simd, table, dots, single, .. } = scratch;
        table.lay(ifs.maps(), ifs.probabilities());
        orbit::play(table, rng, points, *simd, dots)
            .and_then(|bounds| single.count(dots, bounds, size, pad, hopeless, *simd))
            .unwrap_or(0)
    }

    /// Returns the share that so many lit pixels are.
    pub(super) fn rate(&self, lit: usize) -> f64 {
        lit as f64 / (self.size * self.size) as f64
    }
}
