//! Plotting: from points to cells.
//!
//! Half the time of an image is spent here, on about 200,000 stores in random order to more memory
//! than the L1 cache holds. Plotting 200,000 points of the published categories on 256² cells takes
//! 160 µs on one core of an AMD EPYC (Zen 3), or 180 µs with a bounds check per cell. Alternatives
//! that were measured:
//!
//! | alternative | µs |
//! |---|---|
//! | prefetching the cache line of each cell a few points ahead | 195 |
//! | 16-bit cells (too small for 200,000 points; for comparison) | 185 |
//! | extracting cell numbers from vector registers instead of storing and loading them | 205 |
//! | plotting in reverse and storing only to empty cells, tracked with one bit per cell | 305 |
//! | – tracked with one byte per cell | 265 |
//! | – skipping eight points at once if all their cells are taken | 230 |
//! | playing the orbit twice instead of storing its points (orbit and plot together) | 297 instead of 277 |
//! | sending all points outside a 224² crop to one cell, as a bound on skipping them | 172 |
//! | non-temporal stores | 2,480 |
//! | only cells that fit in the L1 cache (the most that sorting could gain) | 105 |
//!
//! Sorting points by blocks of cells takes three more stores per point, which costs more than the 55 µs
//! it could gain. The cells of a 64² image fit in the L1 cache anyway.

use std::ops::ControlFlow;

use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes};

/// Points processed at once.
pub(super) const CHUNK: usize = 64;

/// A grid of cells that points are plotted on.
pub(super) trait Cells {
    /// Plots consecutive points on the given cells; `first` is the number of the first point, from 0.
    /// There are [`CHUNK`] of them, except at the end of an image. May stop the plot early.
    fn plot(&mut self, first: usize, cells: &[u32]) -> ControlFlow<()>;
}

/// The mapping from points to cells: x and y are stretched independently to fill columns
/// `margin..=width − margin` and rows `margin..=height − margin`.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    columns: Stretch,
    rows: Stretch,
    /// Cells per row, including the border.
    stride: usize,
    /// The first cell inside the border.
    origin: usize,
}

impl Grid {
    /// Maps the bounding box to `height` × `width` cells, which have a border of `border` cells.
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

/// The mapping from a coordinate to a row or column: `(v − min) · scale + offset`, truncated.
#[derive(Clone, Copy)]
struct Stretch {
    min: f32,
    scale: f32,
    offset: f32,
}

impl Stretch {
    fn new(min: f32, max: f32, size: usize, margin: usize) -> Self {
        // The authors stretch to size − 2·margin, which without a margin would be one pixel too many.
        let span = (size - 2 * margin).min(size - 1 - margin) as f32;
        let range = max - min;
        // Points on a line have no extent to stretch; they go to the middle.
        if range < f32::MIN_POSITIVE * 1e6 {
            return Self { min, scale: 0.0, offset: (size / 2) as f32 };
        }
        Self { min, scale: span / range, offset: margin as f32 }
    }

    #[inline(always)]
    fn splat<L: Lanes>(self, l: L) -> [L::F; 3] {
        [l.splat_f(self.min), l.splat_f(self.scale), l.splat_f(self.offset)]
    }
}

/// Plots all points, in order.
pub(super) struct Plot<'a, P> {
    pub(super) points: &'a Points,
    pub(super) grid: Grid,
    pub(super) plane: P,
}

impl<P: Cells> Kernel for Plot<'_, P> {
    type Output = P;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> P {
        let Self { points, grid, mut plane } = self;
        let (columns, rows) = (grid.columns.splat(l), grid.rows.splat(l));
        let (stride, origin) = (l.splat_u(grid.stride as u32), l.splat_u(grid.origin as u32));

        let mut cells = [0u32; CHUNK];
        let (mut padded_x, mut padded_y) = ([0.0; CHUNK], [0.0; CHUNK]);
        for (i, (x, y)) in points.x.chunks(CHUNK).zip(points.y.chunks(CHUNK)).enumerate() {
            let (mut whole_x, mut whole_y) = (x, y);
            if x.len() < CHUNK {
                padded_x[..x.len()].copy_from_slice(x);
                padded_y[..y.len()].copy_from_slice(y);
                (whole_x, whole_y) = (&padded_x, &padded_y);
            }
            for at in (0..CHUNK).step_by(L::N) {
                let row = stretched(l, l.load_f(&whole_y[at..]), rows);
                let column = stretched(l, l.load_f(&whole_x[at..]), columns);
                l.store_u(&mut cells[at..], l.add_u(l.add_u(l.mul_u(row, stride), column), origin));
            }
            if plane.plot(i * CHUNK, &cells[..x.len()]).is_break() {
                break;
            }
        }
        plane
    }
}

/// Applies a [`Stretch`]. A function and not a closure, for the reason given at `affine` in orbit.rs.
#[inline(always)]
fn stretched<L: Lanes>(l: L, v: L::F, [min, scale, offset]: [L::F; 3]) -> L::U {
    l.truncate(l.add_f(l.mul_f(l.sub_f(v, min), scale), offset))
}
