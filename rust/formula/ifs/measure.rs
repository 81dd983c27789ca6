//! The filling rate of a category (paper, section 3.2).

use crate::address::Rng;
use crate::error::Error;
use crate::formula::ifs::{Ifs, Scratch, Style, orbit};
use crate::formula::interface::Style as _;
use crate::frame::Frame;
use crate::simd::Simd;

/// How a filling rate is measured: as points, on a square.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Pixels on each side.
    pub size: usize,
    /// Points of the orbit.
    pub num_points: usize,
    /// Pixels left free on each side of the points.
    pub margin: usize,
}

impl Default for Measure {
    /// What the authors' search does.
    fn default() -> Self {
        Self { size: 512, num_points: 100_000, margin: 6 }
    }
}

impl Measure {
    /// Checks the settings against each other.
    pub fn checked(self) -> Result<Self, Error> {
        let frame = Frame { height: self.size, width: self.size, ..Frame::default() }.checked()?;
        Style { num_points: self.num_points, margin: self.margin, ..Style::default() }.check(&frame)?;
        Ok(self)
    }

    /// Returns the share of pixels that the unscaled category lights; 0 if it escapes.
    pub fn fill_rate(&self, ifs: &Ifs, rng: &mut Rng, simd: Simd, scratch: &mut Scratch) -> f64 {
        self.rate(self.lit(ifs, rng, 0, simd, scratch))
    }

    /// Counts the pixels that the unscaled category lights; 0 if it escapes, or as soon as it
    /// cannot light more than `hopeless`.
    pub(super) fn lit(
        &self,
        ifs: &Ifs,
        rng: &mut Rng,
        hopeless: usize,
        simd: Simd,
        scratch: &mut Scratch,
    ) -> usize {
        let Self { size, num_points, margin } = *self;
        let Scratch { table, points, single, .. } = scratch;
        table.lay(ifs.maps(), ifs.probabilities());
        orbit::play(table, rng, num_points, simd, points)
            .and_then(|bounds| single.count(points, bounds, size, margin, hopeless, simd))
            .unwrap_or(0)
    }

    /// Returns the share that so many lit pixels are.
    pub(super) fn rate(&self, lit: usize) -> f64 {
        lit as f64 / (self.size * self.size) as f64
    }
}
