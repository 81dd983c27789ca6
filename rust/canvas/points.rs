//! Dots of a single pixel: what a cell shows is a byte, and no pixel asks its neighbours.
//!
//! A quarter of the memory of the last dots' numbers, and nothing to resolve: 0.14 ms a picture of
//! 256² and 100,000 dots instead of 0.23. (One bit a cell would fit the nearest cache, but a bit is
//! read, set and written: 160 µs for 200,000 dots, where a byte takes 127.)

use crate::canvas::GRAY;
use crate::canvas::palette::COLORS;
use crate::canvas::plot::{Go, Grid, Plane, Plot};
use crate::canvas::resolve::paint;
use crate::dots::{Bounds, Dots};
use crate::rendering::Rendering;
use crate::simd::{Kernel, Lanes, Simd, scatter};
use crate::window::Window;

/// What the last dot of every cell shows: its place in the palette, in gray [`GRAY`]; 0 is black.
#[derive(Default)]
pub(crate) struct Points {
    cells: Vec<u8>,
    /// One row of them (scratch of `Show`).
    row: Vec<u8>,
}

impl Points {
    /// Lets all dots fall and writes the pixels of the window.
    pub(crate) fn draw(
        &mut self,
        dots: &Dots,
        bounds: Bounds,
        window: Window,
        rendering: &Rendering,
        simd: Simd,
        pixels: &mut [u8],
    ) {
        let Rendering { height, width, pad, color, .. } = *rendering;
        let Self { cells, row } = self;
        cells.clear();
        cells.resize(height * width, 0);
        let grid = Grid::new(bounds, [height, width], pad, 0);
        if color {
            simd.run(Plot { dots, grid, plane: Colors(cells) });
        } else {
            simd.run(Plot { dots, grid, plane: Grays(cells) });
        }
        simd.run(Show { cells, row, window, rendering, pixels });
    }

    /// Counts the cells that some dot falls on, of `size` × `size`; `None` as soon as they cannot be
    /// more than `hopeless` any more, were every dot that is left to fall on a cell of its own.
    pub(crate) fn count(
        &mut self,
        dots: &Dots,
        bounds: Bounds,
        size: usize,
        pad: usize,
        hopeless: usize,
        simd: Simd,
    ) -> Option<usize> {
        let Self { cells, .. } = self;
        cells.clear();
        cells.resize(size * size, 0);
        let grid = Grid::new(bounds, [size, size], pad, 0);
        let plane = Count { cells, lit: 0, dots: dots.x.len(), hopeless };
        let Count { lit, hopeless, .. } = simd.run(Plot { dots, grid, plane });
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
        // A chunk never straddles two cycles of colours.
        let color = (first % COLORS) as u8;
        scatter(cells, self.0, |i| 1 + color + i as u8);
        Go::On
    }
}

/// Marks the cells and counts them.
struct Count<'a> {
    cells: &'a mut [u8],
    lit: usize,
    dots: usize,
    hopeless: usize,
}

impl Plane for Count<'_> {
    #[inline(always)]
    fn fall(&mut self, first: usize, cells: &[u32]) -> Go {
        self.lit += crate::simd::mark(cells, self.cells);
        let left = self.dots - first - cells.len();
        if self.lit + left > self.hopeless { Go::On } else { Go::Stop }
    }
}

/// Writes the pixels of the window.
struct Show<'a> {
    cells: &'a [u8],
    row: &'a mut Vec<u8>,
    window: Window,
    rendering: &'a Rendering,
    pixels: &'a mut [u8],
}

impl Kernel for Show<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // No lane is named here: compiled for each path, the loops become its vectors.
        let Self { cells, row, window, rendering, pixels } = self;
        let (width, columns) = (rendering.width, window.width);
        let first = window.first_column(rendering);
        for (i, pixels) in pixels.chunks_exact_mut(columns * rendering.channels()).enumerate() {
            let cells = &cells[window.canvas_row(i, rendering) * width + first..][..columns];
            if !rendering.color {
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
