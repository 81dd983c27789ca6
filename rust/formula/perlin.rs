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

use std::ops::RangeInclusive;

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, Ground, NoStyle, Outcome};
use crate::frame::Window;
use crate::sample::Sample;
use crate::simd::{Kernel, Lanes};

/// The gradient table and the phase. Streams are numbered 4 · attempt + color channel.
const NOISE: Purpose = Purpose(8);
/// The fewest samples per lattice cell along an axis. Where pixels are too coarse, a pixel is the mean
/// of several samples (area anti-aliasing). Part of the format.
const SAMPLES_PER_CELL: f64 = 4.0;
/// The most samples per pixel along an axis. An octave that needs more would average to gray and is
/// left out. Part of the format.
const SAMPLES_PER_PIXEL: f64 = 16.0;
/// Accepted lattice cells per image side. Below 1/4096, an image would be a single shade.
const FREQUENCIES: RangeInclusive<f64> = 1.0 / 4096.0..=4096.0;
/// The number of lattice cells after which the noise repeats.
const PERIOD: f64 = 256.0;

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
        let out_of_range = |name, accepted, given| Err(Error::Number { name, accepted, given });
        if let Some(&wrong) = frequency.iter().find(|f| !FREQUENCIES.contains(f)) {
            return out_of_range("every frequency", "between 1/4096 and 4096", wrong);
        }
        if !(1..=16).contains(&octaves) {
            return out_of_range("octaves", "between 1 and 16", octaves as f64);
        }
        if !(persistence > 0.0 && persistence <= 1.0) {
            return out_of_range("persistence", "above 0 and at most 1", persistence);
        }
        if !(contrast > 0.0 && contrast <= 100.0) {
            return out_of_range("contrast", "above 0 and at most 100", contrast);
        }
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

/// The permutation that selects the gradient at each lattice point.
struct Table([u8; 256]);

impl Table {
    /// Creates a random permutation (Fisher–Yates shuffle).
    fn new(rng: &mut Rng) -> Self {
        let mut table: [u8; 256] = std::array::from_fn(|i| i as u8);
        for i in (1..256).rev() {
            table.swap(i, rng.below(i as u64 + 1) as usize); // at most i
        }
        Self(table)
    }

    /// Returns the gradient at a lattice point: one of the twelve edge directions of a cube.
    fn gradient(&self, x: u8, y: u8, z: u8) -> [f32; 3] {
        const EDGES: [[f32; 3]; 16] = [
            [1.0, 1.0, 0.0],
            [-1.0, 1.0, 0.0],
            [1.0, -1.0, 0.0],
            [-1.0, -1.0, 0.0],
            [1.0, 0.0, 1.0],
            [-1.0, 0.0, 1.0],
            [1.0, 0.0, -1.0],
            [-1.0, 0.0, -1.0],
            [0.0, 1.0, 1.0],
            [0.0, -1.0, 1.0],
            [0.0, 1.0, -1.0],
            [0.0, -1.0, -1.0],
            [1.0, 1.0, 0.0],
            [0.0, -1.0, 1.0],
            [-1.0, 1.0, 0.0],
            [0.0, -1.0, -1.0],
        ]; // as in Perlin's code, four of them twice
        let Self(table) = self;
        let hash = table[usize::from(x)].wrapping_add(y);
        let hash = table[usize::from(hash)].wrapping_add(z);
        EDGES[usize::from(table[usize::from(hash)] & 15)]
    }
}

/// The lattice coordinates of the samples along one axis of the image.
struct Axis {
    phase: f64,
    /// Lattice cells from one sample to the next.
    step: f64,
    /// Samples per pixel.
    samples: usize,
}

impl Axis {
    /// Spreads `frequency` cells over `size` pixels; `None` if that is too fine to be visible.
    fn new(frequency: f64, size: usize, rng: &mut Rng) -> Option<Self> {
        let phase = rng.between(0.0, PERIOD); // always drawn, so the size does not change the stream
        let samples = (SAMPLES_PER_CELL * frequency / size as f64).ceil();
        (samples <= SAMPLES_PER_PIXEL).then_some(Self {
            phase,
            step: frequency / (size as f64 * samples),
            samples: samples as usize,
        })
    }

    /// Returns the coordinate of sample `number` of the uncropped image.
    fn coordinate(&self, number: usize) -> Coordinate {
        Coordinate::of(self.phase + (number as f64 + 0.5) * self.step)
    }
}

/// A lattice coordinate.
#[derive(Clone, Copy, Default)]
struct Coordinate {
    /// The lattice cell.
    cell: u32,
    /// The position in the cell, in 0.0..1.0.
    along: f32,
    /// Perlin's ease curve of that position.
    eased: f32,
}

impl Coordinate {
    fn of(coordinate: f64) -> Self {
        let cell = coordinate.floor();
        let t = (coordinate - cell) as f32;
        // Perlin's quintic, 6t⁵ − 15t⁴ + 10t³.
        let eased = t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        Self { cell: cell as u32, along: t, eased } // not negative
    }
}

fn blend(share: f32, a: f32, b: f32) -> f32 {
    a + share * (b - a)
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Buffers {
    /// The noise of each pixel in the window, summed over octaves.
    sum: Vec<f32>,
    /// The position in its cell of each sample of a row, and its ease curve.
    along: Vec<f32>,
    eased: Vec<f32>,
    /// Runs of consecutive samples in the same cell: the first sample, and the cell.
    runs: Vec<(usize, usize)>,
    /// The gradients at the lattice row above and below a row of samples, one per lattice column.
    above: Vec<[f32; 3]>,
    below: Vec<[f32; 3]>,
    /// What each lattice column contributes along a row: slope and offset.
    lines: Vec<(f32, f32)>,
    /// The noise of the samples of one row.
    samples: Vec<f32>,
}

/// Adds one octave to `sum`.
struct Octave<'a> {
    table: &'a Table,
    columns: Axis,
    rows: Axis,
    z: f64,
    amplitude: f32,
    window: Window,
    at: At<'a>,
    buffers: &'a mut Buffers,
}

impl Kernel for Octave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { table, columns, rows, z, amplitude, window, at, buffers } = self;
        let Buffers { sum, along, eased, runs, above, below, lines, samples } = buffers;
        let z = Coordinate::of(z);

        along.clear();
        eased.clear();
        runs.clear();
        let (mut first, mut last) = (u32::MAX, 0);
        for column in 0..window.width {
            let start = window.surface_column(column) * columns.samples;
            for sample in start..start + columns.samples {
                let x = columns.coordinate(sample);
                if runs.last().is_none_or(|&(_, cell)| cell != x.cell as usize) {
                    runs.push((along.len(), x.cell as usize));
                }
                along.push(x.along);
                eased.push(x.eased);
                (first, last) = (first.min(x.cell), last.max(x.cell));
            }
        }
        samples.resize(along.len(), 0.0);

        let share = amplitude / (columns.samples * rows.samples) as f32;
        let mut cell = None;
        for (row, sum) in sum.chunks_exact_mut(window.width).enumerate() {
            if at.stopped() {
                return; // checked per row: at most a millisecond in the largest image
            }
            let start = window.surface_row(row) * rows.samples;
            for sample in start..start + rows.samples {
                let y = rows.coordinate(sample);
                if cell != Some(y.cell) {
                    cell = Some(y.cell);
                    for (gradients, row) in [(&mut *above, y.cell), (&mut *below, y.cell + 1)] {
                        gradients.clear();
                        gradients.extend((first..=last + 1).map(|x| table.on_plane(x, row, z)));
                    }
                }
                lines.clear();
                lines.extend(above.iter().zip(&*below).map(|(a, b)| {
                    let offsets = (a[1] * y.along + a[2], b[1] * (y.along - 1.0) + b[2]);
                    (blend(y.eased, a[0], b[0]), blend(y.eased, offsets.0, offsets.1))
                }));
                for (number, &(start, cell)) in runs.iter().enumerate() {
                    let end = runs.get(number + 1).map_or(samples.len(), |&(end, _)| end);
                    let left = lines[cell - first as usize];
                    let right = lines[cell - first as usize + 1];
                    let right = (right.0, right.1 - right.0); // relative to the left lattice point
                    let coordinates = along[start..end].iter().zip(&eased[start..end]);
                    for (sample, (&t, &eased)) in samples[start..end].iter_mut().zip(coordinates) {
                        *sample = blend(eased, left.0 * t + left.1, right.0 * t + right.1);
                    }
                }
                if columns.samples == 1 {
                    for (sum, &sample) in sum.iter_mut().zip(&*samples) {
                        *sum += share * sample;
                    }
                } else {
                    for (sum, samples) in sum.iter_mut().zip(samples.chunks_exact(columns.samples)) {
                        *sum += share * samples.iter().fold(0.0, |a, b| a + b);
                    }
                }
            }
        }
    }
}

impl Table {
    /// Combines the gradients at the lattice points on both sides of the plane of constant z into x
    /// and y of a gradient on the plane and a constant.
    fn on_plane(&self, x: u32, y: u32, z: Coordinate) -> [f32; 3] {
        // The lattice repeats every 256 cells, so the low eight bits suffice.
        let [near, far] = [0, 1].map(|side| self.gradient(x as u8, y as u8, (z.cell + side) as u8));
        let depth = blend(z.eased, near[2] * z.along, far[2] * (z.along - 1.0));
        [blend(z.eased, near[0], far[0]), blend(z.eased, near[1], far[1]), depth]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::formula::contour::noise::PERLIN;
    use crate::frame::Frame;
    use crate::machine::Flag;
    use crate::simd::Simd;

    #[test]
    fn no_fallback_is_black() {
        let harsh = Perlin::new([9.0, 7.0], 1, 0.5, 9.0).unwrap();
        crate::formula::interface::assert_that_no_fallback_is_black(&harsh, &NoStyle {});
    }

    /// Three-dimensional noise as Perlin published it: eight corners, seven blends.
    fn noise([x, y, z]: [f64; 3]) -> f64 {
        let at = |i: i64| i64::from(PERLIN[(i & 255) as usize]);
        let fade = |t: f64| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        let lerp = |t: f64, a: f64, b: f64| a + t * (b - a);
        let grad = |hash: i64, x: f64, y: f64, z: f64| {
            let h = hash & 15;
            let u = if h < 8 { x } else { y };
            let v = if h < 4 {
                y
            } else if h == 12 || h == 14 {
                x
            } else {
                z
            };
            (if h & 1 == 0 { u } else { -u }) + (if h & 2 == 0 { v } else { -v })
        };
        let [cx, cy, cz] = [x, y, z].map(|v| v.floor() as i64);
        let [x, y, z] = [x - x.floor(), y - y.floor(), z - z.floor()];
        let corner = |i: i64, j: i64, k: i64| {
            let hash = at(at(at(cx + i) + cy + j) + cz + k);
            grad(hash, x - i as f64, y - j as f64, z - k as f64)
        };
        let edge = |j, k| lerp(fade(x), corner(0, j, k), corner(1, j, k));
        let side = |k| lerp(fade(y), edge(0, k), edge(1, k));
        lerp(fade(z), side(0), side(1))
    }

    #[test]
    fn the_reference_is_perlins_noise() {
        #[allow(clippy::approx_constant)] // 3.14 is the published test point, not π
        let value = noise([3.14, 42.0, 7.0]);
        assert!((value - 0.136_919_958_784_000_12).abs() < 1e-15);
    }

    /// Fine and coarse, one and several samples per pixel, cropped and flipped.
    #[test]
    fn an_image_is_a_plane_through_perlins_noise() {
        for (frequency, size, samples) in [([2.0, 5.0], 64, 1), ([20.0, 3.5], 32, 3), ([64.0, 40.0], 16, 16)]
        {
            let frame = Frame { height: size, width: size, ..Frame::default() };
            let address = Address { seed: 0, category: 0, index: 0 };
            let [left, top] = [3, 2];
            let window = Window {
                of: (size, size),
                top,
                left,
                height: size - 6,
                width: size - 5,
                flip_rows: true,
                flip_columns: false,
            };
            let (phase, z) = ([250.3, 17.9], 255.4);
            let axis =
                |i: usize| Axis { phase: phase[i], step: frequency[i] / (size * samples) as f64, samples };
            let mut buffers = Buffers { sum: vec![0.25; window.height * window.width], ..Default::default() };
            let simd = *Simd::available().last().unwrap();
            simd.run(Octave {
                table: &Table(PERLIN),
                columns: axis(0),
                rows: axis(1),
                z,
                amplitude: 0.5,
                window,
                at: At::new(address, &frame, 1, simd, &Flag::default()),
                buffers: &mut buffers,
            });
            for (row, sums) in buffers.sum.chunks(window.width).enumerate() {
                for (column, sum) in sums.iter().enumerate() {
                    let (row, column) = (size - 1 - (row + top), column + left);
                    let mut mean = 0.0;
                    for (i, j) in (0..samples).flat_map(|i| (0..samples).map(move |j| (i, j))) {
                        let coordinate = |pixel: usize, sample: usize, axis: usize| {
                            let along = (pixel as f64 + (sample as f64 + 0.5) / samples as f64) / size as f64;
                            phase[axis] + along * frequency[axis]
                        };
                        let point = [coordinate(column, j, 0), coordinate(row, i, 1), z];
                        mean += noise(point) / (samples * samples) as f64;
                    }
                    assert!((f64::from(*sum) - 0.25 - 0.5 * mean).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_lattice_finer_than_the_pixels_is_sampled_more_often() {
        let axis = |frequency, size| Axis::new(frequency, size, &mut Rng::new(0)).map(|axis| axis.samples);
        assert_eq!(axis(10.0, 256), Some(1));
        assert_eq!(axis(36.0, 64), Some(3));
        assert_eq!(axis(1024.0, 256), Some(16));
        assert_eq!(axis(1025.0, 256), None);
    }
}
