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
        let Scratch { simd, table, dots, single, .. } = scratch;
        table.lay(ifs.maps(), ifs.probabilities());
        match orbit::play(table, rng, self.points, *simd, dots) {
            Some(bounds) => {
                let lit = single.count(dots, bounds, self.size, self.pad, 0, *simd).unwrap_or(0);
                lit as f64 / (self.size * self.size) as f64
            }
            None => 0.0,
        }
    }
}
