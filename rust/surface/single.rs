//! Points of a single pixel: what a cell shows is a byte, and no pixel asks its neighbours.
//!
//! A quarter of the memory of the last points' numbers, and nothing to resolve: 0.14 ms per image of
//! 256² and 100,000 points instead of 0.23. (One bit a cell would fit the nearest cache, but a bit is
//! read, set and written: 160 µs for 200,000 points, where a byte takes 127.)

use crate::frame::Window;
use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes, Simd, scatter};
use crate::surface::GRAY;
use crate::surface::palette::COLORS;
use crate::surface::plot::{Go, Grid, Plane, Plot};
use crate::surface::resolve::paint;

/// What the last point of every cell shows: its position in the palette, in gray [`GRAY`]; 0 is black.
#[derive(Default)]
pub struct Single {
    cells: Vec<u8>,
    /// One row of them (scratch of `Show`).
    row: Vec<u8>,
}

impl Single {
    /// Lets all points fall and writes the pixels of the window.
    #[allow(clippy::too_many_arguments)]
    pub fn draw(
        &mut self,
        points: &Points,
        bounds: Bounds,
        window: Window,
        margin: usize,
        color: bool,
        simd: Simd,
        pixels: &mut [u8],
    ) {
        let (height, width) = window.of;
        let Self { cells, row } = self;
        cells.clear();
        cells.resize(height * width, 0);
        let grid = Grid::new(bounds, [height, width], margin, 0);
        if color {
            simd.run(Plot { points, grid, plane: Colors(cells) });
        } else {
            simd.run(Plot { points, grid, plane: Grays(cells) });
        }
        simd.run(Show { cells, row, window, color, pixels });
    }

    /// Counts the cells that some point falls on, of `size` × `size`; `None` as soon as they cannot be
    /// more than `hopeless` any more, were every point that is left to fall on a cell of its own.
    pub fn count(
        &mut self,
        points: &Points,
        bounds: Bounds,
        size: usize,
        margin: usize,
        hopeless: usize,
        simd: Simd,
    ) -> Option<usize> {
        let Self { cells, .. } = self;
        cells.clear();
        cells.resize(size * size, 0);
        let grid = Grid::new(bounds, [size, size], margin, 0);
        let plane = Count { cells, lit: 0, points: points.x.len(), hopeless };
        let Count { lit, hopeless, .. } = simd.run(Plot { points, grid, plane });
        (lit > hopeless).then_some(lit)
    }
}

struct Grays<'a>(&'a mut [u8]);

impl Plane for Grays<'_> {
    #[inline(always)]
    fn fall(&mut self, _: usize, cells: &[u32]) -> Go {
        scatter(cells, self.0, |_| GRAY);
        Go::On
    }
}

struct Colors<'a>(&'a mut [u8]);

impl Plane for Colors<'_> {
    #[inline(always)]
    fn fall(&mut self, first: usize, cells: &[u32]) -> Go {
        // A chunk never straddles two cycles of colors.
        let color = (first % COLORS) as u8;
        scatter(cells, self.0, |i| 1 + color + i as u8);
        Go::On
    }
}

/// Marks the cells and counts them.
struct Count<'a> {
    cells: &'a mut [u8],
    lit: usize,
    points: usize,
    hopeless: usize,
}

impl Plane for Count<'_> {
    #[inline(always)]
    fn fall(&mut self, first: usize, cells: &[u32]) -> Go {
        self.lit += crate::simd::mark(cells, self.cells);
        let left = self.points - first - cells.len();
        if self.lit + left > self.hopeless { Go::On } else { Go::Stop }
    }
}

/// Writes the pixels of the window.
struct Show<'a> {
    cells: &'a [u8],
    row: &'a mut Vec<u8>,
    window: Window,
    color: bool,
    pixels: &'a mut [u8],
}

impl Kernel for Show<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // No lane is named here: compiled for each path, the loops become its vectors.
        let Self { cells, row, window, color, pixels } = self;
        let (width, columns) = (window.of.1, window.width);
        let first = window.first_column();
        for (i, pixels) in pixels.chunks_exact_mut(columns * if color { 3 } else { 1 }).enumerate() {
            let cells = &cells[window.surface_row(i) * width + first..][..columns];
            if !color {
                pixels.copy_from_slice(cells);
                if window.flip_columns {
                    pixels.reverse();
                }
                continue;
            }
            row.clear();
            row.extend_from_slice(cells);
            if window.flip_columns {
                row.reverse();
            }
            paint(row, pixels);
        }
    }
}
