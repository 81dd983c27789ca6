//! Noise with the spectrum of natural images (Baradad et al., "Learning to See by Looking at Noise",
//! NeurIPS 2021): the Fourier magnitude at the frequency (fx, fy) is 1 / (|fx|^a + |fy|^b), the phase
//! is random.
//!
//! A category is the pair of exponents; an instance is the phases. Frequencies count periods per
//! tile. The sides of the tile are the next powers of two, at least 32; the image is a corner of
//! its tile, stretched between the tile's extremes.
//!
//! The transform is our own, radix 2 and 80 lines long: the crate rustfft chooses its arithmetic by
//! processor, and its bits vary accordingly. Here sixteen columns are transformed side by side, with
//! the same additions and products in the same order everywhere. Since an image is real, half of
//! the work is saved: only half of the columns are transformed, and then two rows as one complex
//! row.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, NoStyle, Outcome};
use crate::frame::{Frame, Window};
use crate::sample::Sample;
use crate::simd::{Kernel, Lanes};

/// The phases, numbered by 4 · attempt + color channel.
const PHASES: Purpose = Purpose(31);
/// Columns or rows transformed side by side. Part of the format.
const SIDE: usize = 16;
/// Number of possible phases. Part of the format.
const TURN: usize = 4096;

/// One category.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    exponents: [f64; 2],
}

impl Spectrum {
    /// Takes the exponents along x and y, 0…8.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Number`] if an exponent is out of range.
    pub fn new(exponents: [f64; 2]) -> Result<Self, Error> {
        for exponent in exponents {
            Error::unless((0.0..=8.0).contains(&exponent), "an exponent", "between 0 and 8", exponent)?;
        }
        Ok(Self { exponents })
    }

    /// Renders the noise; in color, an independent one for each channel.
    fn draw_noise(&self, mut at: At<'_>, attempt: u64, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        at.attempt = attempt;
        let channels = at.frame.channels();
        scratch.prepare(self.exponents, tile(at.frame));
        for channel in 0..channels {
            let rng = at.numbered_rng(PHASES, 4 * attempt + channel as u64);
            let pixels = &mut sample.image[channel..];
            at.simd.run(Noise { rng, at, window: at.window(), scratch, pixels, channels });
        }
    }
}

impl Formula for Spectrum {
    const NAME: &'static str = "spectrum";
    type Style = NoStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        parameters.rows("exponents")?.iter().map(|&exponents| Self::new(exponents)).collect()
    }

    fn memory(&self, _: &NoStyle, frame: &Frame) -> usize {
        let [width, height] = tile(frame);
        8 * width * height
    }

    /// Renders the noise; an image that is all black (a crop of a few pixels) is degenerate.
    fn draw(&self, at: At<'_>, _: &NoStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        self.draw_noise(at, at.attempt, scratch, sample);
        Outcome::of_image(sample.image, 0)
    }

    /// Renders the negative of the last attempt, which was black.
    fn draw_fallback(&self, at: At<'_>, _: &NoStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        self.draw_noise(at, at.attempt.saturating_sub(1), scratch, sample);
        sample.image.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    }
}

/// Returns width and height of the tile that an image is a corner of.
fn tile(frame: &Frame) -> [usize; 2] {
    [frame.width, frame.height].map(|side| side.next_power_of_two().max(2 * SIDE))
}

/// Values that are transformed side by side.
type Lane = [f32; SIDE];

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    size: [usize; 2],
    /// |f|^exponent for each frequency from 0 to half of the side, along x and y.
    powers: [Vec<f32>; 2],
    /// The cosines of [`TURN`] angles.
    cosines: Vec<f32>,
    /// The cosines and sines of half a turn, in steps of one turn / (the longer side).
    twiddles: Vec<[f32; 2]>,
    /// Blocks of columns of the half spectrum: (fx / 16, y), 16 of fx side by side.
    columns: [Vec<Lane>; 2],
    /// Blocks of pairs of rows: (y / 32, x), 16 of y / 2 side by side; the real part is the upper
    /// row of the pair.
    rows: [Vec<Lane>; 2],
    /// The bytes of 32 rows.
    strip: Vec<u8>,
}

impl Scratch {
    fn prepare(&mut self, exponents: [f64; 2], size @ [width, height]: [usize; 2]) {
        for (powers, (exponent, side)) in self.powers.iter_mut().zip(exponents.into_iter().zip(size)) {
            powers.clear();
            powers.extend((0..=side / 2).map(|f| libm::pow(f as f64, exponent) as f32));
        }
        if self.cosines.is_empty() {
            let angle = |i| std::f64::consts::TAU / TURN as f64 * i as f64;
            self.cosines.extend((0..TURN).map(|i| libm::cos(angle(i)) as f32));
        }
        if self.size == size {
            return;
        }
        self.size = size;
        let longer = width.max(height);
        self.twiddles.clear();
        self.twiddles.extend((0..longer / 2).map(|k| {
            let (sin, cos) = libm::sincos(std::f64::consts::TAU / longer as f64 * k as f64);
            [cos as f32, sin as f32]
        }));
        for planes in [&mut self.columns, &mut self.rows] {
            for plane in planes {
                plane.clear();
                plane.resize(width * height / 2 / SIDE, [0.0; SIDE]);
            }
        }
        self.strip.clear();
        self.strip.resize(2 * SIDE * width, 0);
    }
}

/// Renders one channel.
struct Noise<'a> {
    rng: Rng,
    at: At<'a>,
    window: Window,
    scratch: &'a mut Scratch,
    pixels: &'a mut [u8],
    /// From one pixel to the next.
    channels: usize,
}

impl Kernel for Noise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { mut rng, at, window, scratch, pixels, channels } = self;
        let Scratch { size, powers, cosines, twiddles, columns, rows, strip } = scratch;
        let [width, height] = *size;
        let cosines: &[f32; TURN] = cosines[..].try_into().expect("that many are prepared");
        let wave = |phase: u64| {
            let phase = phase as usize;
            [cosines[phase % TURN], cosines[(phase + TURN * 3 / 4) % TURN]]
        };
        let [re, im] = columns;
        for (block, (re, im)) in re.chunks_exact_mut(height).zip(im.chunks_exact_mut(height)).enumerate() {
            if at.stopped() {
                return;
            }
            let across: &Lane = powers[0][SIDE * block..][..SIDE].try_into().expect("sixteen");
            for fy in 0..height {
                let down = powers[1][fy.min(height - fy)];
                let row = reversed(fy, height);
                for quarter in 0..SIDE / 4 {
                    let word = rng.next_u64();
                    for lane in 0..4 {
                        let [cos, sin] = wave(word >> (16 * lane));
                        (re[row][4 * quarter + lane], im[row][4 * quarter + lane]) = (cos, sin);
                    }
                }
                for lane in 0..SIDE {
                    let magnitude = 1.0 / (across[lane] + down);
                    re[row][lane] *= magnitude;
                    im[row][lane] *= magnitude;
                }
            }
            if block == 0 {
                lowest_and_highest(&mut rng, powers, wave, re, im);
            }
            transform(re, im, twiddles);
        }

        let columns = [&columns[0][..], &columns[1][..]];
        let [re, im] = rows;
        let (mut low, mut high) = ([f32::INFINITY; SIDE], [f32::NEG_INFINITY; SIDE]);
        for (block, (re, im)) in re.chunks_exact_mut(width).zip(im.chunks_exact_mut(width)).enumerate() {
            if at.stopped() {
                return;
            }
            join_rows(columns, height, block, re, im);
            transform(re, im, twiddles);
            for values in re.iter().chain(&*im) {
                for lane in 0..SIDE {
                    low[lane] = if values[lane] < low[lane] { values[lane] } else { low[lane] };
                    high[lane] = if values[lane] > high[lane] { values[lane] } else { high[lane] };
                }
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let scale = 255.0 / (high - low);

        let rows = [&rows[0][..], &rows[1][..]];
        let mut block = usize::MAX;
        for (row, pixels) in pixels.chunks_mut(window.width * channels).enumerate() {
            let y = window.surface_row(row);
            if block != y / (2 * SIDE) {
                block = y / (2 * SIDE);
                for x in window.first_column()..window.first_column() + window.width {
                    for (half, rows) in rows.iter().enumerate() {
                        let values = &rows[block * width + x];
                        let bytes: [u8; SIDE] =
                            std::array::from_fn(|i| ((values[i] - low) * scale + 0.5) as u8);
                        for (pair, byte) in bytes.into_iter().enumerate() {
                            strip[(2 * pair + half) * width + x] = byte;
                        }
                    }
                }
            }
            let bytes = &strip[y % (2 * SIDE) * width + window.first_column()..][..window.width];
            let pixels = pixels.iter_mut().step_by(channels);
            if window.flip_columns {
                pixels.zip(bytes.iter().rev()).for_each(|(pixel, &byte)| *pixel = byte);
            } else {
                pixels.zip(bytes).for_each(|(pixel, &byte)| *pixel = byte);
            }
        }
    }
}

/// Fills the first column with the columns of the lowest and the highest fx. Both belong to real
/// signals, so they are transformed together, as real and imaginary part.
#[inline(always)]
fn lowest_and_highest(
    rng: &mut Rng,
    powers: &[Vec<f32>; 2],
    wave: impl Fn(u64) -> [f32; 2],
    re: &mut [Lane],
    im: &mut [Lane],
) {
    let height = re.len();
    let across = [powers[0][0], powers[0][powers[0].len() - 1]];
    for (fy, &down) in powers[1].iter().enumerate() {
        let low = if fy == 0 { 0.0 } else { 1.0 / (across[0] + down) }; // no DC component
        let high = 1.0 / (across[1] + down);
        let word = rng.next_u64();
        let ([c0, s0], [c1, s1]) = (wave(word), wave(word >> 16));
        let (row, opposite) = (reversed(fy, height), reversed((height - fy) % height, height));
        if row == opposite {
            let sign = |bit: u64| if word >> bit & 1 == 0 { 1.0 } else { -1.0 };
            (re[row][0], im[row][0]) = (low * sign(40), high * sign(41));
        } else {
            (re[row][0], im[row][0]) = (low * c0 - high * s1, low * s0 + high * c1);
            (re[opposite][0], im[opposite][0]) = (low * c0 + high * s1, high * c1 - low * s0);
        }
    }
}

/// Joins two rows into one complex row with all frequencies, for sixteen pairs of rows.
#[inline(always)]
fn join_rows(columns: [&[Lane]; 2], height: usize, block: usize, re: &mut [Lane], im: &mut [Lane]) {
    let width = re.len();
    for fx in 0..width / 2 {
        let first = fx / SIDE * height + 2 * SIDE * block;
        let lane = fx % SIDE;
        let of = |plane: usize, row: usize| -> Lane {
            let plane = &columns[plane][first..][..2 * SIDE];
            std::array::from_fn(|pair| plane[2 * pair + row][lane])
        };
        let (a, b) = ([of(0, 0), of(1, 0)], [of(0, 1), of(1, 1)]);
        if fx == 0 {
            let highest = reversed(width / 2, width);
            (re[0], im[0]) = (a[0], b[0]);
            (re[highest], im[highest]) = (a[1], b[1]);
            continue;
        }
        let (row, opposite) = (reversed(fx, width), reversed(width - fx, width));
        for pair in 0..SIDE {
            re[row][pair] = a[0][pair] - b[1][pair];
            im[row][pair] = a[1][pair] + b[0][pair];
            re[opposite][pair] = a[0][pair] + b[1][pair];
            im[opposite][pair] = b[0][pair] - a[1][pair];
        }
    }
}

/// Returns the position of element `i` of `n` in the input of the transform: its bits reversed.
fn reversed(i: usize, n: usize) -> usize {
    i.reverse_bits() >> (usize::BITS - n.trailing_zeros())
}

/// Computes the inverse FFT (Cooley and Tukey) of frequencies in bit-reversed order, sixteen side
/// by side, unscaled.
#[inline(always)]
fn transform(re: &mut [Lane], im: &mut [Lane], twiddles: &[[f32; 2]]) {
    let n = re.len();
    let mut half = 1;
    while half < n {
        let stride = twiddles.len() / half;
        let pieces = re.chunks_exact_mut(2 * half).zip(im.chunks_exact_mut(2 * half));
        for (re, im) in pieces {
            let ((re0, re1), (im0, im1)) = (re.split_at_mut(half), im.split_at_mut(half));
            for k in 0..half {
                let [cos, sin] = twiddles[k * stride];
                let (a, b) = (&mut re0[k], &mut re1[k]);
                let (c, d) = (&mut im0[k], &mut im1[k]);
                for i in 0..SIDE {
                    let real = b[i] * cos - d[i] * sin;
                    let imaginary = b[i] * sin + d[i] * cos;
                    (b[i], a[i]) = (a[i] - real, a[i] + real);
                    (d[i], c[i]) = (c[i] - imaginary, c[i] + imaginary);
                }
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::machine::Flag;
    use crate::simd::Simd;

    #[test]
    fn no_fallback_is_black() {
        let spectrum = Spectrum::new([1.5, 0.7]).unwrap();
        crate::formula::interface::assert_that_no_fallback_is_black(&spectrum, &NoStyle {});
    }

    /// The transform of the values before they became bytes, term by term.
    #[test]
    fn the_magnitude_is_the_one_of_the_category_at_every_frequency() {
        let exponents = [1.5, 0.7];
        let spectrum = Spectrum::new(exponents).unwrap();
        for [width, height] in [[32, 64], [64, 32]] {
            let frame = Frame { width, height, ..Frame::default() };
            let flag = Flag::default();
            let at = At::new(Address { seed: 1, category: 0, index: 0 }, &frame, 1, Simd::PLAIN, &flag);
            let (mut scratch, mut image) = (Scratch::default(), vec![0; frame.bytes()]);
            spectrum.draw(at, &NoStyle {}, &mut scratch, &mut Sample { image: &mut image, objects: None });
            let value = |x: usize, y: usize| {
                f64::from(scratch.rows[y % 2][y / 32 * width + x][y / 2 % 16]) / (width * height) as f64
            };
            for (fx, fy) in (0..width).flat_map(|fx| (0..height).map(move |fy| (fx, fy))) {
                let (mut re, mut im) = (0.0, 0.0);
                for (x, y) in (0..width).flat_map(|x| (0..height).map(move |y| (x, y))) {
                    let turns = (fx * x) as f64 / width as f64 + (fy * y) as f64 / height as f64;
                    let (sin, cos) = libm::sincos(-std::f64::consts::TAU * turns);
                    (re, im) = (re + value(x, y) * cos, im + value(x, y) * sin);
                }
                let [px, py] = [(fx.min(width - fx), exponents[0]), (fy.min(height - fy), exponents[1])]
                    .map(|(f, exponent)| (f as f64).powf(exponent));
                let expected = if fx + fy == 0 { 0.0 } else { 1.0 / (px + py) };
                assert!((re.hypot(im) - expected).abs() < 1e-5, "{fx} {fy}: {} {expected}", re.hypot(im));
            }
        }
    }
}
