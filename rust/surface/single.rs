//! A surface for points of a single pixel.
//!
//! A cell is one byte, the final gray or palette index. This takes a quarter of the memory of
//! `LastPoint`, and there is nothing to resolve: 0.14 ms per image of 256² and 100,000 points instead
//! of 0.23 ms. (One bit per cell would fit in the L1 cache, but setting a bit is a read-modify-write:
//! 160 µs for 200,000 points instead of 127 µs.)

use std::ops::ControlFlow;

use crate::frame::Window;
use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes, Simd, scatter};
use crate::surface::GRAY;
use crate::surface::palette::{COLORS, PALETTE};
use crate::surface::plot::{Cells, Grid, Plot};

/// The value of every cell: in color a palette index, in gray [`GRAY`]; 0 is black.
#[derive(Default)]
pub(crate) struct Single {
    cells: Vec<u8>,
}

impl Single {
    /// Plots all points and writes the pixels of the window.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn draw(
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
        let Self { cells } = self;
        cells.clear();
        cells.resize(height * width, 0);
        let grid = Grid::new(bounds, [height, width], margin, 0);
        if color {
            simd.run(Plot { points, grid, plane: Colors(cells) });
        } else {
            simd.run(Plot { points, grid, plane: Grays(cells) });
        }
        simd.run(Show { cells, window, color, pixels });
    }

    /// Counts the cells with at least one point, on a grid of `size` × `size`. Returns `None` as soon
    /// as the count cannot exceed `to_beat`, even if every remaining point had a cell of its own.
    pub(crate) fn count(
        &mut self,
        points: &Points,
        bounds: Bounds,
        size: usize,
        margin: usize,
        to_beat: usize,
        simd: Simd,
    ) -> Option<usize> {
        let Self { cells } = self;
        cells.clear();
        cells.resize(size * size, 0);
        let grid = Grid::new(bounds, [size, size], margin, 0);
        let plane = Count { cells, lit: 0, points: points.x.len(), to_beat };
        let Count { lit, to_beat, .. } = simd.run(Plot { points, grid, plane });
        (lit > to_beat).then_some(lit)
    }
}

struct Grays<'a>(&'a mut [u8]);

impl Cells for Grays<'_> {
    #[inline(always)]
    fn plot(&mut self, _: usize, cells: &[u32]) -> ControlFlow<()> {
        scatter(cells, self.0, |_| GRAY);
        ControlFlow::Continue(())
    }
}

struct Colors<'a>(&'a mut [u8]);

impl Cells for Colors<'_> {
    #[inline(always)]
    fn plot(&mut self, first: usize, cells: &[u32]) -> ControlFlow<()> {
        // A chunk never spans two cycles of colors.
        let color = (first % COLORS) as u8;
        scatter(cells, self.0, |i| 1 + color + i as u8);
        ControlFlow::Continue(())
    }
}

/// Counts the lit cells.
struct Count<'a> {
    cells: &'a mut [u8],
    lit: usize,
    points: usize,
    to_beat: usize,
}

impl Cells for Count<'_> {
    #[inline(always)]
    fn plot(&mut self, first: usize, cells: &[u32]) -> ControlFlow<()> {
        self.lit += crate::simd::mark(cells, self.cells);
        let left = self.points - first - cells.len();
        if self.lit + left > self.to_beat { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Writes the pixels of the window.
struct Show<'a> {
    cells: &'a [u8],
    window: Window,
    color: bool,
    pixels: &'a mut [u8],
}

impl Kernel for Show<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { cells, window, color, pixels } = self;
        if color {
            window.write(cells, window.of.1, pixels.as_chunks_mut().0, |cell| PALETTE[usize::from(cell)]);
        } else {
            window.write(cells, window.of.1, pixels, |cell| cell);
        }
    }
}
