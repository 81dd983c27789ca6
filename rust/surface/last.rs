//! A surface that keeps the last point of every cell.
//!
//! A patch overwrites what is below it, so the image depends on the order of the points. Instead of
//! nine pixels per point, the surface stores one number: that of the **last point** in each cell. The
//! color of a pixel is then determined by the newest point in the 3×3 cells around it. This is exact,
//! works for pixels and patches in gray and color, and only has to be done for the pixels that are
//! kept.

use std::ops::ControlFlow;

use crate::frame::Window;
use crate::points::{Bounds, Points};
use crate::simd::{Simd, scatter};
use crate::surface::Mark;
use crate::surface::plot::{Cells, Grid, Plot};
use crate::surface::resolve::{EMPTY, Resolve, last};

/// The last point of every cell, with a border of one empty cell on every side.
#[derive(Default)]
pub struct LastPoint {
    /// The number of the last point of each cell, counted from 1, as `number << 4 | 8`, or [`EMPTY`].
    /// The low bits are for resolve.rs, which subtracts the position of a pixel in its patch.
    last: Vec<u32>,
    height: usize,
    width: usize,
    /// Scratch of `resolve`: the newest point of three cells in each column.
    newest: Vec<u32>,
    /// Scratch of `resolve`: the palette index of each pixel in a row.
    indices: Vec<u8>,
}

impl LastPoint {
    /// Clears the surface and plots all points, stretched to fill it up to the margin.
    pub fn plot(
        &mut self,
        points: &Points,
        bounds: Bounds,
        height: usize,
        width: usize,
        margin: usize,
        simd: Simd,
    ) {
        self.clear(height, width);
        let grid = Grid::new(bounds, [height, width], margin, 1);
        simd.run(Plot { points, grid, plane: Last(&mut self.last) });
    }

    /// Clears the surface for plotting points one by one.
    pub(crate) fn pen(&mut self, height: usize, width: usize) -> Pen<'_> {
        let stride = self.clear(height, width);
        Pen { last: &mut self.last, height, width, stride, number: 0 }
    }

    /// Clears the surface and returns the cells per row, including the border.
    fn clear(&mut self, height: usize, width: usize) -> usize {
        (self.height, self.width) = (height, width);
        self.last.clear();
        self.last.resize((height + 2) * (width + 2), EMPTY);
        width + 2
    }

    /// Returns the (row, column) of the newest point.
    pub(crate) fn newest_cell(&self) -> (usize, usize) {
        let newest = (0..self.last.len()).max_by_key(|&cell| self.last[cell]).unwrap_or(0);
        let stride = self.width + 2;
        ((newest / stride).saturating_sub(1), (newest % stride).saturating_sub(1))
    }

    /// Writes the pixels of the window in row-major order: one byte per pixel, or three in color.
    /// `mark` is how each point is drawn.
    pub fn resolve(&mut self, window: Window, mark: Mark<'_>, color: bool, simd: Simd, pixels: &mut [u8]) {
        debug_assert_eq!(pixels.len(), window.height * window.width * if color { 3 } else { 1 });
        let Self { last, width, newest, indices, .. } = self;
        simd.run(Resolve { last, width: *width, newest, indices, window, mark, color, pixels });
    }
}

/// Stores the number of the last point of each cell.
struct Last<'a>(&'a mut [u32]);

impl Cells for Last<'_> {
    #[inline(always)]
    fn plot(&mut self, first: usize, cells: &[u32]) -> ControlFlow<()> {
        let number = first as u32 + 1; // at most 2²⁴
        scatter(cells, self.0, |i| last(number) + last(i as u32) - EMPTY);
        ControlFlow::Continue(())
    }
}

/// Plots points one by one.
pub(crate) struct Pen<'a> {
    last: &'a mut [u32],
    height: usize,
    width: usize,
    stride: usize,
    number: u32,
}

impl Pen<'_> {
    /// Plots a point. The patch of a point just below or right of the image reaches into it; points
    /// farther out are counted but not drawn.
    #[inline]
    pub(crate) fn point(&mut self, row: usize, column: usize) {
        self.number += 1;
        if row <= self.height && column <= self.width {
            self.last[(row + 1) * self.stride + column + 1] = last(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_points_lie_on_the_margin() {
        let points = Points { x: vec![-3.0, 5.0], y: vec![0.5, 0.25] };
        let bounds = Bounds { min: [-3.0, 0.25], max: [5.0, 0.5] };
        for simd in Simd::available() {
            for (margin, low, high) in [(6, 6, 26), (0, 0, 31)] {
                let mut surface = LastPoint::default();
                surface.plot(&points, bounds, 32, 32, margin, simd);
                let at = |row: usize, column: usize| surface.last[(row + 1) * 34 + column + 1];
                assert_eq!((at(high, low), at(low, high)), (last(1), last(2)));
                assert_eq!(surface.last.iter().filter(|&&point| point != EMPTY).count(), 2);
                assert_eq!(surface.newest_cell(), (low, high));
            }
        }
    }
}
