//! The filling rate of a category (paper, section 3.2).

use crate::address::Rng;
use crate::error::Error;
use crate::formula::ifs::{Ifs, Scratch, Style, orbit};
use crate::formula::interface::Style as _;
use crate::frame::Frame;
use crate::simd::Simd;

/// How a filling rate is measured: on a square image, one pixel per point.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// The height and width of the image.
    pub size: usize,
    /// Points of the orbit.
    pub num_points: usize,
    /// Empty pixels on each side of the points.
    pub margin: usize,
}

impl Default for Measure {
    /// Returns the settings of the authors' search.
    fn default() -> Self {
        Self { size: 512, num_points: 100_000, margin: 6 }
    }
}

impl Measure {
    /// Checks the settings against each other and returns them.
    ///
    /// # Errors
    ///
    /// Returns an error unless the size is between 16 and 4096, the number of points between 1 and 2²⁴, and
    /// the margin leaves at least 2 pixels.
    pub fn checked(self) -> Result<Self, Error> {
        let (style, frame) = self.settings();
        style.check(&frame.checked()?)?;
        Ok(self)
    }

    /// Returns the approximate number of bytes of scratch memory that a category takes.
    pub fn memory(&self) -> usize {
        let (style, frame) = self.settings();
        style.memory(&frame)
    }

    fn settings(&self) -> (Style, Frame) {
        let Self { size, num_points, margin } = *self;
        let frame = Frame { height: size, width: size, ..Frame::default() };
        (Style { num_points, margin, ..Style::default() }, frame)
    }

    /// Returns the share of pixels that the category lights without variation; 0 if it diverges.
    pub fn fill_rate(&self, ifs: &Ifs, rng: &mut Rng, simd: Simd, scratch: &mut Scratch) -> f64 {
        self.rate(self.lit(ifs, rng, 0, simd, scratch))
    }

    /// Counts the pixels that the category lights without variation. Returns 0 if it diverges, and
    /// as soon as the count cannot exceed `to_beat`.
    pub(super) fn lit(
        &self,
        ifs: &Ifs,
        rng: &mut Rng,
        to_beat: usize,
        simd: Simd,
        scratch: &mut Scratch,
    ) -> usize {
        let Self { size, num_points, margin } = *self;
        let Scratch { table, points, single, .. } = scratch;
        table.build(ifs.maps(), ifs.probabilities());
        orbit::play(table, rng, num_points, simd, points)
            .and_then(|bounds| single.count(points, bounds, size, margin, to_beat, simd))
            .unwrap_or(0)
    }

    /// Converts a number of lit pixels to a filling rate.
    pub(super) fn rate(&self, lit: usize) -> f64 {
        lit as f64 / (self.size * self.size) as f64
    }
}
