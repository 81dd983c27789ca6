//! One octave of the noise, added to an image.

use crate::address::At;
use crate::formula::perlin::lattice::{Axis, Coordinate, Table, blend};
use crate::frame::Window;
use crate::simd::{Kernel, Lanes};

/// Memory kept from image to image.
#[derive(Default)]
pub struct Buffers {
    /// The noise of each pixel in the window, summed over octaves.
    pub(super) sum: Vec<f32>,
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
pub(super) struct Octave<'a> {
    pub(super) table: &'a Table,
    pub(super) columns: Axis,
    pub(super) rows: Axis,
    pub(super) z: f64,
    pub(super) amplitude: f32,
    pub(super) window: Window,
    pub(super) at: At<'a>,
    pub(super) buffers: &'a mut Buffers,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::formula::contour::noise::PERLIN;
    use crate::frame::Frame;
    use crate::machine::Flag;
    use crate::simd::Simd;

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
}
