//! Diamond–square noise (Fournier, Fussell and Carpenter, "Computer Rendering of Stochastic Models",
//! 1982): heights between random corners, refined by random displacements that decay from level to
//! level. A category is a decay; an instance is the random numbers and the colors.
//!
//! The rules for heights and colors are those of the backgrounds in "Improving Fractal Pre-training"
//! (Anderson and Farrell, WACV 2022), whose code (MIT license) draws the decay for each image.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, NoStyle, Outcome};
use crate::frame::{Frame, Window};
use crate::sample::Sample;
use crate::simd::{Kernel, Lanes, Simd};

/// The heights and the colors.
const HEIGHTS: Purpose = Purpose(54);
/// The largest decay, at which all displacements but those of the first level nearly vanish.
const LARGEST_DECAY: f64 = 10.0;

/// One category.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiamondSquare {
    decay: f64,
}

impl DiamondSquare {
    /// Takes a decay: displacements shrink by a factor of e^−decay from level to level.
    ///
    /// # Errors
    ///
    /// Returns an error unless the decay lies between 0 and 10.
    pub fn new(decay: f64) -> Result<Self, Error> {
        Error::unless((0.0..=LARGEST_DECAY).contains(&decay), "a decay", "between 0 and 10", decay)?;
        Ok(Self { decay })
    }
}

impl Formula for DiamondSquare {
    const NAME: &'static str = "diamond-square";
    type Style = NoStyle;
    type Scratch = Heights;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        parameters.floats("decays")?.iter().map(|&decay| Self::new(decay)).collect()
    }

    fn memory(&self, _: &NoStyle, frame: &Frame) -> usize {
        Heights::memory(frame)
    }

    /// Draws the heights; an image whose heights are all far below 0 is black and degenerate.
    fn draw(&self, at: At<'_>, _: &NoStyle, heights: &mut Heights, sample: &mut Sample<'_>) -> Outcome {
        let mut rng = at.rng(HEIGHTS);
        heights.fill_at(at, self.decay, &mut rng);
        let colors = Colors::random(&mut rng);
        heights.show(at.window(), colors, at.frame.color, Over::Everything, at.simd, sample.image);
        Outcome::of_image(sample.image, 0)
    }

    fn draw_fallback(&self, _: At<'_>, _: &NoStyle, _: &mut Heights, sample: &mut Sample<'_>) {
        sample.image.fill(127);
    }
}

/// The affine functions from height to hue, saturation and value, in bytes: factor, then offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colors {
    /// Modulo 256.
    pub(crate) hue: [f32; 2],
    /// At most 255.
    pub(crate) saturation: [f32; 2],
    /// At most 255.
    pub(crate) value: [f32; 2],
}

impl Colors {
    /// Draws the functions from the ranges of the released code.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut byte = |low: f64, high: f64| (255.0 * rng.between(low, high)) as f32;
        Self {
            hue: [byte(0.25, 1.0), byte(0.0, 1.0)],
            saturation: [byte(0.1, 0.3), byte(0.4, 0.6)],
            value: [byte(0.3, 0.6), byte(0.4, 0.6)],
        }
    }
}

/// The pixels that the heights replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// All pixels.
    Everything,
    /// Only black pixels.
    Black,
}

/// A square grid of heights, 2ⁿ + 1 on each side.
#[derive(Default)]
pub struct Heights {
    heights: Vec<f32>,
    side: usize,
}

impl Heights {
    /// Returns the number of bytes that the heights of a whole image take.
    pub(crate) fn memory(frame: &Frame) -> usize {
        let side = frame.height.max(frame.width).next_power_of_two() + 1;
        4 * side * side
    }

    /// Draws heights that cover the whole image of a frame; heights beyond it are not shown.
    pub(crate) fn fill_at(&mut self, at: At<'_>, decay: f64, rng: &mut Rng) {
        let size = at.frame.height.max(at.frame.width);
        // Every word gives two numbers of 32 bits.
        let mut rest = None;
        let unit = || {
            let number = rest.take().unwrap_or_else(|| {
                let word = rng.next_u64();
                rest = Some(word as u32); // the low half; the high half is used first
                (word >> 32) as u32
            });
            f64::from(number) / (1u64 << 32) as f64
        };
        // Smaller images take less than 5 ms, and checking at every row would be a tenth of that.
        self.fill(size, decay, unit, || size > 1024 && at.stopped());
    }

    /// Draws heights for an image of `size`×`size` pixels from numbers uniform in 0.0..1.0. Checks
    /// `stopped` at every row.
    pub(crate) fn fill(
        &mut self,
        size: usize,
        decay: f64,
        mut unit: impl FnMut() -> f64,
        stopped: impl Fn() -> bool,
    ) {
        let spans = size.next_power_of_two();
        let side = spans + 1;
        self.side = side;
        self.heights.clear();
        self.heights.resize(side * side, 0.0);
        let heights = &mut self.heights[..];
        for corner in [0, spans, spans * side, spans * side + spans] {
            heights[corner] = unit() as f32;
        }
        for level in 0..spans.ilog2() {
            let step = spans >> level;
            let half = step / 2;
            let most = 0.5 * libm::exp(-decay * f64::from(level));
            let mut displacement = || (2.0 * most * unit() - most) as f32;

            // The center of every square, from its corners.
            for row in (half..side).step_by(step) {
                if stopped() {
                    return;
                }
                let (above, here, below) = neighbors(heights, side, [row - half, row, row + half]);
                for column in (half..side).step_by(step) {
                    let (left, right) = (column - half, column + half);
                    let sum = above[left] + above[right] + below[left] + below[right];
                    here[column] = sum * 0.25 + displacement();
                }
            }
            // The middle of every edge, from its neighbors; the grid wraps around at the border.
            for row in (0..side).step_by(half) {
                if stopped() {
                    return;
                }
                let before = if row == 0 { spans - half } else { row - half };
                let after = if row == spans { half } else { row + half };
                let (above, here, below) = neighbors(heights, side, [before, row, after]);
                let first = if row % step == 0 { half } else { 0 };
                for column in (first..side).step_by(step) {
                    let left = if column == 0 { spans - half } else { column - half };
                    let right = if column == spans { half } else { column + half };
                    let sum = above[column] + here[left] + here[right] + below[column];
                    here[column] = sum * 0.25 + displacement();
                }
            }
        }
    }

    /// Returns the heights of the top left `size`×`size` pixels.
    #[cfg(feature = "python")]
    pub(crate) fn rows(&self, size: usize) -> impl Iterator<Item = &[f32]> {
        self.heights.chunks_exact(self.side).take(size).map(move |row| &row[..size])
    }

    /// Writes the pixels of the window in row-major order; in gray, only their value.
    pub(crate) fn show(
        &self,
        window: Window,
        colors: Colors,
        color: bool,
        over: Over,
        simd: Simd,
        pixels: &mut [u8],
    ) {
        simd.run(Show { heights: self, window, colors, color, over, pixels });
    }
}

/// Returns three rows, the middle one mutable; the other two may be the same row.
fn neighbors(
    heights: &mut [f32],
    side: usize,
    [before, row, after]: [usize; 3],
) -> (&[f32], &mut [f32], &[f32]) {
    let (above, rest) = heights.split_at_mut(row * side);
    let (here, below) = rest.split_at_mut(side);
    let (above, below) = (&*above, &*below);
    let other = |other: usize| {
        let (part, first) = if other < row { (above, other) } else { (below, other - row - 1) };
        &part[first * side..][..side]
    };
    (other(before), here, other(after))
}

/// Writes the pixels of the window.
struct Show<'a> {
    heights: &'a Heights,
    window: Window,
    colors: Colors,
    color: bool,
    over: Over,
    pixels: &'a mut [u8],
}

impl Kernel for Show<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { heights: Heights { heights, side }, window, colors, color, over, pixels } = self;
        let everything = over == Over::Everything;
        let first = window.first_column();
        let (mut block, mut channels) = ([0.0; BLOCK], [[0; BLOCK]; 3]);
        let bytes = if color { 3 } else { 1 };
        for (row, pixels) in pixels.chunks_exact_mut(window.width * bytes).enumerate() {
            let heights = &heights[window.surface_row(row) * side + first..][..window.width];
            for (i, pixels) in pixels.chunks_mut(BLOCK * bytes).enumerate() {
                let (from, count) = (i * BLOCK, pixels.len() / bytes);
                if window.flip_columns {
                    let heights = &heights[window.width - from - count..][..count];
                    block.iter_mut().zip(heights.iter().rev()).for_each(|(to, &height)| *to = height);
                } else {
                    block[..count].copy_from_slice(&heights[from..][..count]);
                }
                if color {
                    colors.write(l, &block, &mut channels);
                    let [red, green, blue] = &channels;
                    for (i, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                        let color = [red[i], green[i], blue[i]].map(|channel| channel as u8); // at most 255
                        *pixel = if everything || *pixel == [0; 3] { color } else { *pixel };
                    }
                } else {
                    for (pixel, &height) in pixels.iter_mut().zip(&block) {
                        let value = byte(colors.value, height);
                        *pixel = if everything || *pixel == 0 { value } else { *pixel };
                    }
                }
            }
        }
    }
}

impl Colors {
    /// Writes the three channels of heights, as [`hsv`](fn@crate::surface::hsv) does.
    #[inline(always)]
    fn write<L: Lanes>(self, l: L, heights: &[f32; BLOCK], channels: &mut [[u32; BLOCK]; 3]) {
        let whole = |values: &[f32; BLOCK], to: &mut [u32; BLOCK]| {
            for i in (0..BLOCK).step_by(L::N) {
                l.store_u(&mut to[i..], l.truncate(l.load_f(&values[i..])));
            }
        };
        let [mut hues, mut values, mut chromas] = [[0; BLOCK]; 3];
        whole(&heights.map(|height| affine(self.hue, height) + HUES), &mut hues);
        whole(&heights.map(|height| affine(self.value, height).clamp(0.0, 255.0)), &mut values);
        whole(&heights.map(|height| affine(self.saturation, height).clamp(0.0, 255.0)), &mut chromas);
        let [mut red, mut green, mut blue] = [[0.0; BLOCK]; 3];
        for i in 0..BLOCK {
            let hue = (hues[i] & 255) as i32;
            let hue = (if hue < 180 { hue } else { hue - 180 }) as f32 * (1.0 / 30.0);
            let value = values[i] as i32 as f32; // at most 255
            let chroma = value * (chromas[i] as i32 as f32) * (1.0 / 255.0);
            let rising = |center: f32| ((hue - center).abs() - 1.0).clamp(0.0, 1.0);
            red[i] = value - chroma * (1.0 - rising(3.0)) + 0.5; // rounds
            green[i] = value - chroma * rising(2.0) + 0.5;
            blue[i] = value - chroma * rising(4.0) + 0.5;
        }
        for (values, channel) in [red, green, blue].iter().zip(channels) {
            whole(values, channel);
        }
    }
}

/// Pixels that are colored at a time.
const BLOCK: usize = 64;
/// A multiple of 256 that makes every hue positive before it is truncated. It rounds hues to 1/2048.
const HUES: f32 = 4096.0;

fn affine([factor, offset]: [f32; 2], height: f32) -> f32 {
    height * factor + offset
}

/// Truncates, and saturates at 0 and 255.
fn byte(function: [f32; 2], height: f32) -> u8 {
    affine(function, height) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::hsv;

    #[test]
    fn no_fallback_is_black() {
        let hills = DiamondSquare::new(0.1).unwrap();
        crate::formula::interface::assert_that_no_fallback_is_black(&hills, &NoStyle {});
    }

    #[test]
    fn a_point_is_the_mean_of_its_neighbors_plus_a_displacement() {
        let mut draws = vec![0.1, 0.2, 0.3, 0.4]; // corners
        draws.extend([0.5; 5].iter().chain(&[0.75; 16])); // no displacement, then a quarter of ±most
        let (mut heights, mut draws) = (Heights::default(), draws.into_iter());
        heights.fill(4, 0.7, || draws.next().unwrap(), || false);
        let at = |row: usize, column: usize| f64::from(heights.heights[row * 5 + column]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
        let center = 0.25;
        close(at(2, 2), center);
        // Below the border lies the center again.
        close(at(0, 2), (2.0 * center + 0.1 + 0.2) / 4.0);
        close(at(2, 0), (2.0 * center + 0.1 + 0.3) / 4.0);
        let displacement = 0.25 * (-0.7f64).exp();
        close(at(1, 1), (0.1 + at(0, 2) + at(2, 0) + center) / 4.0 + displacement);
        close(at(0, 1), (at(3, 1) + 0.1 + at(0, 2) + at(1, 1)) / 4.0 + displacement);
        assert!(draws.next().is_none());
    }

    #[test]
    fn colors_are_those_of_hue_saturation_and_value() {
        let colors = Colors { hue: [201.7, 30.3], saturation: [60.0, 120.0], value: [300.0, 100.0] };
        let heights = std::array::from_fn(|i| -1.0 + i as f32 / 20.0);
        for simd in Simd::available() {
            let [red, green, blue] = simd.run(Written { colors, heights });
            for (i, height) in heights.into_iter().enumerate() {
                let hue = affine(colors.hue, height).floor() as i32 as u8; // modulo 256
                let expected = hsv(hue, byte(colors.saturation, height), byte(colors.value, height));
                let found = [red[i], green[i], blue[i]];
                assert!(found.iter().zip(expected).all(|(&f, e)| f.abs_diff(e.into()) <= 1));
            }
        }
    }

    struct Written {
        colors: Colors,
        heights: [f32; BLOCK],
    }

    impl Kernel for Written {
        type Output = [[u32; BLOCK]; 3];

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let mut channels = [[0; BLOCK]; 3];
            self.colors.write(l, &self.heights, &mut channels);
            channels
        }
    }
}
