//! Diamond–square noise (Fournier, Fussell and Carpenter, "Computer Rendering of Stochastic Models",
//! 1982): heights between random corners, refined by random displacements that decay from level to
//! level. A category is a decay; an instance is the random numbers and the colors.
//!
//! The rules for heights and colors are those of the backgrounds in "Improving Fractal Pre-training"
//! (Anderson and Farrell, WACV 2022), whose program (MIT license) draws the decay for each image.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, NoStyle, Outcome};
use crate::frame::Window;
use crate::sample::Sample;
use crate::simd::{Kernel, Lanes, Simd};
use crate::surface::hsv;

/// The heights and the colors.
const HEIGHTS: Purpose = Purpose(54);
/// Beyond it, all displacements but those of the first level vanish.
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
        if !(0.0..=LARGEST_DECAY).contains(&decay) {
            return Err(Error::Number { name: "a decay", accepted: "between 0 and 10", given: decay });
        }
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

    /// Draws the heights; an image whose heights are all far below 0 is black and degenerate.
    fn draw(&self, at: At<'_>, _: &NoStyle, heights: &mut Heights, sample: &mut Sample<'_>) -> Outcome {
        let mut rng = at.rng(HEIGHTS);
        heights.fill_at(at, self.decay, &mut rng);
        let colors = Colors::random(&mut rng);
        heights.show(at.window(), colors, at.frame.color, Over::Everything, at.simd, sample.image);
        if sample.image.iter().any(|&byte| byte != 0) { Outcome::Shown } else { Outcome::Degenerate }
    }

    fn draw_fallback(&self, _: At<'_>, _: &NoStyle, _: &mut Heights, sample: &mut Sample<'_>) {
        sample.image.fill(127);
    }
}

/// The affine functions of a height that give hue, saturation and value, in bytes: factor, then
/// offset.
#[derive(Clone, Copy, Debug)]
pub struct Colors {
    /// Modulo 256.
    pub hue: [f32; 2],
    /// At most 255.
    pub saturation: [f32; 2],
    /// At most 255.
    pub value: [f32; 2],
}

impl Colors {
    /// Draws the functions from the program's ranges.
    pub fn random(rng: &mut Rng) -> Self {
        let mut byte = |low: f64, high: f64| (255.0 * rng.between(low, high)) as f32;
        Self {
            hue: [byte(0.25, 1.0), byte(0.0, 1.0)],
            saturation: [byte(0.1, 0.3), byte(0.4, 0.6)],
            value: [byte(0.3, 0.6), byte(0.4, 0.6)],
        }
    }
}

/// What the heights are drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// All pixels.
    Everything,
    /// Black pixels alone.
    Black,
}

/// A square grid of heights, 2ⁿ + 1 on each side.
#[derive(Default)]
pub struct Heights {
    heights: Vec<f32>,
    side: usize,
}

impl Heights {
    /// Draws heights that cover the whole image of a frame; what lies beyond it is not shown.
    pub fn fill_at(&mut self, at: At<'_>, decay: f64, rng: &mut Rng) {
        let size = at.frame.height.max(at.frame.width);
        self.fill(size, decay, || rng.between(0.0, 1.0), || at.stopped());
    }

    /// Draws heights for an image of `size`×`size` pixels from numbers uniform in 0.0..1.0. Asks
    /// `stopped` at every row.
    pub fn fill(
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
                for column in (half..side).step_by(step) {
                    let (above, below) = ((row - half) * side + column, (row + half) * side + column);
                    let sum = heights[above - half]
                        + heights[above + half]
                        + heights[below - half]
                        + heights[below + half];
                    heights[row * side + column] = sum * 0.25 + displacement();
                }
            }
            // The middle of every edge, from its neighbors; across the border lies the opposite side.
            for row in (0..side).step_by(half) {
                if stopped() {
                    return;
                }
                let above = if row == 0 { spans - half } else { row - half } * side;
                let below = if row == spans { half } else { row + half } * side;
                let first = if row % step == 0 { half } else { 0 };
                for column in (first..side).step_by(step) {
                    let left = if column == 0 { spans - half } else { column - half };
                    let right = if column == spans { half } else { column + half };
                    let sum = heights[above + column]
                        + heights[row * side + left]
                        + heights[row * side + right]
                        + heights[below + column];
                    heights[row * side + column] = sum * 0.25 + displacement();
                }
            }
        }
    }

    /// Returns the heights of the top left `size`×`size` pixels.
    pub fn rows(&self, size: usize) -> impl Iterator<Item = &[f32]> {
        self.heights.chunks_exact(self.side).take(size).map(move |row| &row[..size])
    }

    /// Writes the pixels of the window in row-major order; in gray, their value alone.
    pub fn show(
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
    fn run<L: Lanes>(self, _: L) {
        let Self { heights: Heights { heights, side }, window, colors, color, over, pixels } = self;
        let of = |[factor, offset]: [f32; 2], height: f32| height * factor + offset;
        let byte = |function, height| of(function, height) as u8; // truncates, and saturates
        let everything = over == Over::Everything;
        let first = window.first_column();
        for (i, pixels) in pixels.chunks_exact_mut(window.width * if color { 3 } else { 1 }).enumerate() {
            let heights = &heights[window.surface_row(i) * side + first..][..window.width];
            let column = |i: usize| if window.flip_columns { window.width - 1 - i } else { i };
            if color {
                for (i, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    let height = heights[column(i)];
                    let hue = of(colors.hue, height).floor() as i32 as u8; // modulo 256
                    let color = hsv(hue, byte(colors.saturation, height), byte(colors.value, height));
                    *pixel = if everything || *pixel == [0; 3] { color } else { *pixel };
                }
            } else {
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    let value = byte(colors.value, heights[column(i)]);
                    *pixel = if everything || *pixel == 0 { value } else { *pixel };
                }
            }
        }
    }
}
