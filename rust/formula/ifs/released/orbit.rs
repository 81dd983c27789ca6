//! The orbit of the released code and its conversion to pixels.

use std::ops::ControlFlow;

use crate::formula::ifs::Map;
use crate::formula::system::choice::{CHUNK, Choice};
use crate::simd::{Kernel, Lanes, Simd};

/// Points dropped before the first NaN.
const DROPPED: usize = 100;

/// The points of one image, as coordinates and as pixels.
#[derive(Default)]
pub(crate) struct Orbit {
    x: Vec<f64>,
    y: Vec<f64>,
    columns: Vec<u16>,
    rows: Vec<u16>,
    /// The minimum and maximum of x, and of y.
    extremes: [(f64, f64); 2],
}

impl Orbit {
    /// Plays the chaos game from the origin, which is the first of the `count` points.
    /// `draws(start, slice)` fills the slice with random numbers, from number `start` of the stream.
    pub(super) fn play(
        &mut self,
        maps: &[Map],
        probabilities: &[f64],
        count: usize,
        simd: Simd,
        mut draws: impl FnMut(usize, &mut [f64]),
    ) {
        let choice = Choice::new(probabilities);
        self.x.resize(count, 0.0);
        self.y.resize(count, 0.0);
        (self.x[0], self.y[0]) = (0.0, 0.0);
        let (mut x, mut y) = (0.0, 0.0);
        let mut extremes = [(0.0, 0.0); 2];
        let (mut units, mut chosen) = ([0.0; CHUNK], [0u64; CHUNK]);
        let mut played = 1;
        for (xs, ys) in self.x[1..].chunks_mut(CHUNK).zip(self.y[1..].chunks_mut(CHUNK)) {
            draws(played - 1, &mut units[..xs.len()]);
            choice.choose(&units, &mut chosen, simd);
            for ((at_x, at_y), &map) in xs.iter_mut().zip(ys).zip(&chosen) {
                // Due to rounding, no map may be chosen; the point is then repeated.
                if let Some(&[a, b, c, d, e, f]) = maps.get(map as usize) {
                    (x, y) = (x * a + y * b + e, x * c + y * d + f);
                }
                (*at_x, *at_y) = (x, y);
                // Free in this loop, which is bound by the latency of the recurrence.
                extremes[0] = extended(extremes[0], x);
                extremes[1] = extended(extremes[1], y);
            }
            played += xs.len();
            if x.is_nan() || y.is_nan() {
                break; // all later points are NaN as well
            }
        }
        self.x.truncate(played);
        self.y.truncate(played);
        self.extremes = extremes;
        if x.is_nan() || y.is_nan() {
            self.drop_nan();
        }
    }

    /// Drops the points from the first NaN on and the hundred points before it, as the released code does:
    /// first for x, then for y. Once a coordinate is NaN, both are from the next point on.
    fn drop_nan(&mut self) {
        for by_x in [true, false] {
            let values = if by_x { &self.x } else { &self.y };
            if let Some(first) = values.iter().position(|v| v.is_nan()) {
                let kept = first.saturating_sub(DROPPED);
                self.x.truncate(kept);
                self.y.truncate(kept);
            }
        }
        // The extremes of the points that are left.
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        self.extremes = [&self.x, &self.y].map(|values| values.iter().fold(none, |e, &v| extended(e, v)));
    }

    /// Computes the pixel of every point. x and y are stretched independently to `size − 2·margin`
    /// pixels.
    pub(super) fn rescale(&mut self, height: usize, width: usize, margin: usize, simd: Simd) {
        let (mut rows, mut columns) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.columns));
        rows.clear();
        columns.clear();
        self.pixels([height, width], margin, simd, |some_rows, some_columns| {
            rows.extend_from_slice(some_rows);
            columns.extend_from_slice(some_columns);
            ControlFlow::Continue(())
        });
        (self.rows, self.columns) = (rows, columns);
    }

    /// Computes the pixels chunk by chunk and passes their rows and columns to `each`, which may stop
    /// early.
    pub(super) fn pixels(
        &self,
        [height, width]: [usize; 2],
        margin: usize,
        simd: Simd,
        mut each: impl FnMut(&[u16], &[u16]) -> ControlFlow<()>,
    ) {
        let (mut rows, mut columns) = ([0; CHUNK], [0; CHUNK]);
        for (x, y) in self.x.chunks(CHUNK).zip(self.y.chunks(CHUNK)) {
            let (rows, columns) = (&mut rows[..y.len()], &mut columns[..x.len()]);
            simd.run(Stretch { values: y, extremes: self.extremes[1], size: height, margin, pixels: rows });
            simd.run(Stretch { values: x, extremes: self.extremes[0], size: width, margin, pixels: columns });
            if each(rows, columns).is_break() {
                return;
            }
        }
    }

    /// Returns the number of points.
    pub(super) fn points(&self) -> usize {
        self.x.len()
    }

    /// Returns the (row, column) of each point; some may lie outside the image.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, usize)> {
        self.rows.iter().zip(&self.columns).map(|(&row, &column)| (row.into(), column.into()))
    }
}

/// Shifts `values` to start at 0 if any is negative, and computes the pixel of each.
struct Stretch<'a> {
    values: &'a [f64],
    extremes: (f64, f64),
    size: usize,
    margin: usize,
    pixels: &'a mut [u16],
}

impl Kernel for Stretch<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { values, extremes, size, margin, pixels } = self;
        let (low, high) = extremes;
        // Rounding is monotonic, so the extremes of the shifted values are the shifted extremes.
        let origin = if low < 0.0 { low } else { 0.0 };
        let range = (high - origin) - (low - origin);
        let (span, margin) = ((size - 2 * margin) as f64, margin as f64);
        for (pixel, v) in pixels.iter_mut().zip(values) {
            *pixel = uint16((v - origin) / range * span + margin);
        }
    }
}

fn extended((low, high): (f64, f64), v: f64) -> (f64, f64) {
    (if v < low { v } else { low }, if v > high { v } else { high })
}

/// Casts like NumPy's `astype(uint16)` on x86: values outside the range of an i32 become 0.
#[inline(always)]
fn uint16(value: f64) -> u16 {
    if value.abs() < 2_147_483_648.0 { value as i32 as u16 } else { 0 } // the low 16 bits
}
