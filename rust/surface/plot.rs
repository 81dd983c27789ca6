//! From points to the cells they fall on.
//!
//! Half of an image's time goes here: some 200,000 stores to cells in random order, into
//! more memory than the nearest cache has. Tried, on one core of an AMD EPYC (Zen 3), for 200,000
//! points of the published categories on 256² cells, where this takes 160 µs (with the bounds of
//! each cell checked apart: 180 µs):
//!
//! | instead | µs |
//! |---|---|
//! | fetching each cell's cache line some points ahead | 195 |
//! | a plane of 16 bits (too few for 200,000 points, but for the comparison) | 185 |
//! | taking the cells out of the vector registers, not from memory | 205 |
//! | from the last point to the first, a store only where none fell yet; marks of one bit | 305 |
//! | – marks of one byte | 265 |
//! | – eight points passed over at once where all have fallen | 230 |
//! | no buffer of points: the orbit played twice, the second time between the stores | 297 for 277 |
//! | points outside a crop of 224² all to the same cell, as if they were passed over | 172 |
//! | non-temporal stores | 2,480 |
//! | all cells in the nearest cache, were it large enough: what sorting them could gain at best | 105 |
//!
//! Sorting by blocks of cells costs three stores a point, more than the 55 µs it could gain. The cells of
//! a 64² image fit the nearest cache as they are.

use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes};

/// Dots whose cells are found at once.
pub(super) const CHUNK: usize = 64;

/// What the points fall on.
pub(super) trait Plane {
    /// Lets points fall on these cells, the first of them point number `first`, counted from 0;
    /// a whole [`CHUNK`], but for the last points of an image.
    fn fall(&mut self, first: usize, cells: &[u32]) -> Go;
}

/// Whether the points that are left are wanted.
#[derive(PartialEq)]
pub(super) enum Go {
    On,
    Stop,
}

/// Where the points fall: x and y are stretched independently so that they fill the columns
/// `margin ..= width − margin` and the rows alike.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    columns: Stretch,
    rows: Stretch,
    /// Cells of a row, border included.
    stride: usize,
    /// The cell of the top left pixel.
    origin: usize,
}

impl Grid {
    /// Lays `height` × `width` cells under the points, with a border on every side.
    pub(super) fn new(bounds: Bounds, [height, width]: [usize; 2], margin: usize, border: usize) -> Self {
        let stride = width + 2 * border;
        Self {
            columns: Stretch::new(bounds.min[0], bounds.max[0], width, margin),
            rows: Stretch::new(bounds.min[1], bounds.max[1], height, margin),
            stride,
            origin: border * stride + border,
        }
    }
}

/// Maps a coordinate to a column or row: `(v − min) · scale + offset`, cut to an integer.
#[derive(Clone, Copy)]
struct Stretch {
    min: f32,
    scale: f32,
    offset: f32,
}

impl Stretch {
    fn new(min: f32, max: f32, size: usize, margin: usize) -> Self {
        // The authors stretch over size − 2·margin; without padding that would be one too far.
        let span = (size - 2 * margin).min(size - 1 - margin) as f32;
        let range = max - min;
        // Dots in one line have no width to stretch: they stand in the middle.
        if range < f32::MIN_POSITIVE * 1e6 {
            return Self { min, scale: 0.0, offset: (size / 2) as f32 };
        }
        Self { min, scale: span / range, offset: margin as f32 }
    }

    #[inline(always)]
    fn on<L: Lanes>(self, l: L) -> [L::F; 3] {
        [l.splat_f(self.min), l.splat_f(self.scale), l.splat_f(self.offset)]
    }
}

/// Lets all points fall, in order.
pub(super) struct Plot<'a, P> {
    pub(super) points: &'a Points,
    pub(super) grid: Grid,
    pub(super) plane: P,
}

impl<P: Plane> Kernel for Plot<'_, P> {
    type Output = P;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> P {
        let Self { points, grid, mut plane } = self;
        let (columns, rows) = (grid.columns.on(l), grid.rows.on(l));
        let (stride, origin) = (l.splat_u(grid.stride as u32), l.splat_u(grid.origin as u32));

        let mut cells = [0u32; CHUNK];
        let (mut rest_x, mut rest_y) = ([0.0; CHUNK], [0.0; CHUNK]);
        for (i, (x, y)) in points.x.chunks(CHUNK).zip(points.y.chunks(CHUNK)).enumerate() {
            let (mut all_x, mut all_y) = (x, y);
            if x.len() < CHUNK {
                rest_x[..x.len()].copy_from_slice(x);
                rest_y[..y.len()].copy_from_slice(y);
                (all_x, all_y) = (&rest_x, &rest_y);
            }
            for at in (0..CHUNK).step_by(L::N) {
                let row = stretched(l, l.load_f(&all_y[at..]), rows);
                let column = stretched(l, l.load_f(&all_x[at..]), columns);
                l.store_u(&mut cells[at..], l.add_u(l.add_u(l.mul_u(row, stride), column), origin));
            }
            if plane.fall(i * CHUNK, &cells[..x.len()]) == Go::Stop {
                break;
            }
        }
        plane
    }
}

/// Stretches and cuts to an integer, as [`Stretch`] says. (Functions, not closures: see
/// `affine` in orbit.rs.)
#[inline(always)]
fn stretched<L: Lanes>(l: L, v: L::F, [min, scale, offset]: [L::F; 3]) -> L::U {
    l.truncate(l.add_f(l.mul_f(l.sub_f(v, min), scale), offset))
}
