//! Improved Perlin noise (Perlin, "Improving Noise", SIGGRAPH 2002).
//!
//! The paper trains on Perlin-100 and Perlin-1296 (section 4.3 (iv)) and says only that they are
//! made "just as FractalDB". The definition here is ours. A category is a pair of lattice
//! frequencies, because they determine the visible texture. An instance has its own shuffled
//! gradient table and phase, which change the details but not the texture.
//!
//! An image is a plane of constant z through three-dimensional noise. On this plane, the gradients at
//! the lattice points on both sides combine into one two-dimensional gradient and a constant. Along a
//! row of samples, what a lattice point contributes is then linear in x, and a sample blends two such
//! lines, without lookups or branches. There are no transcendental functions and no fused
//! operations, so every processor computes the same bytes.

mod lattice;
mod octave;

use std::ops::RangeInclusive;

use crate::address::{At, Purpose};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, Ground, NoStyle, Outcome};
use crate::sample::Sample;
use lattice::{Axis, PERIOD, Table};
use octave::{Buffers, Octave};

/// The gradient table and the phase. Streams are numbered 4 · attempt + color channel.
const NOISE: Purpose = Purpose(8);
/// Accepted lattice cells per image side. Below 1/4096, an image would be a single shade.
const FREQUENCIES: RangeInclusive<f64> = 1.0 / 4096.0..=4096.0;

/// One category: the number of lattice cells across and down the image, and how octaves are summed.
#[derive(Clone, Debug, PartialEq)]
pub struct Perlin {
    frequency: [f64; 2],
    octaves: usize,
    persistence: f64,
    contrast: f64,
}

impl Perlin {
    /// Creates a category from the lattice cells across and down the image (1/4096 to 4096 each) and
    /// the number of octaves (1 to 16). Each octave has twice the frequency and `persistence` times
    /// the amplitude of the previous one. The noise is scaled by `contrast`; at 1, black is −1 and
    /// white is 1.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the numbers is out of range.
    pub fn new(frequency: [f64; 2], octaves: usize, persistence: f64, contrast: f64) -> Result<Self, Error> {
        for f in frequency {
            Error::unless(FREQUENCIES.contains(&f), "every frequency", "between 1/4096 and 4096", f)?;
        }
        Error::unless((1..=16).contains(&octaves), "octaves", "between 1 and 16", octaves as f64)?;
        let fits = persistence > 0.0 && persistence <= 1.0;
        Error::unless(fits, "persistence", "above 0 and at most 1", persistence)?;
        let fits = contrast > 0.0 && contrast <= 100.0;
        Error::unless(fits, "contrast", "above 0 and at most 100", contrast)?;
        Ok(Self { frequency, octaves, persistence, contrast })
    }
}

impl Formula for Perlin {
    const NAME: &'static str = "perlin";
    type Style = NoStyle;
    type Scratch = Buffers;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        let octaves = parameters.count("octaves")?;
        let (persistence, contrast) = (parameters.float("persistence")?, parameters.float("contrast")?);
        let new = |&frequency: &[f64; 2]| Self::new(frequency, octaves, persistence, contrast);
        parameters.rows("frequencies")?.iter().map(new).collect()
    }

    fn ground(&self, _: &NoStyle) -> Ground {
        Ground::None
    }

    /// Renders the noise. An all-black image, such as a small crop of coarse noise at high contrast,
    /// is degenerate.
    fn draw(&self, at: At<'_>, _: &NoStyle, buffers: &mut Buffers, sample: &mut Sample<'_>) -> Outcome {
        self.draw_noise(at, at.attempt, 1.0, buffers, sample);
        Outcome::of_image(sample.image, 0)
    }

    /// Renders the negative of the last attempt, which was black.
    fn draw_fallback(&self, at: At<'_>, _: &NoStyle, buffers: &mut Buffers, sample: &mut Sample<'_>) {
        self.draw_noise(at, at.attempt.saturating_sub(1), -1.0, buffers, sample);
    }
}

impl Perlin {
    /// Renders the noise times `sign`, with independent noise for each color channel.
    fn draw_noise(
        &self,
        mut at: At<'_>,
        attempt: u64,
        sign: f64,
        buffers: &mut Buffers,
        sample: &mut Sample<'_>,
    ) {
        at.attempt = attempt;
        let (window, frame) = (at.window(), at.frame);
        let channels = frame.channels();
        for channel in 0..channels {
            let mut rng = at.numbered_rng(NOISE, 4 * attempt + channel as u64);
            let table = Table::new(&mut rng);
            buffers.sum.clear();
            buffers.sum.resize(window.height * window.width, 0.0);
            let (mut amplitude, mut total) = (1.0, 0.0);
            for octave in 0..self.octaves {
                let scale = (1u64 << octave) as f64;
                let columns = Axis::new(self.frequency[0] * scale, frame.width, &mut rng);
                let rows = Axis::new(self.frequency[1] * scale, frame.height, &mut rng);
                let z = rng.between(0.0, PERIOD);
                if let (Some(columns), Some(rows)) = (columns, rows) {
                    let amplitude = amplitude as f32;
                    let table = &table;
                    at.simd.run(Octave { table, columns, rows, z, amplitude, window, at, buffers });
                }
                total += amplitude;
                amplitude *= self.persistence;
            }
            let factor = (sign * 127.5 * self.contrast / total) as f32;
            for (pixel, &sum) in sample.image[channel..].iter_mut().step_by(channels).zip(&buffers.sum) {
                *pixel = (sum * factor + 128.0) as u8; // truncates, and saturates at 0 and 255
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fallback_is_black() {
        let harsh = Perlin::new([9.0, 7.0], 1, 0.5, 9.0).unwrap();
        crate::formula::interface::assert_that_no_fallback_is_black(&harsh, &NoStyle {});
    }
}
