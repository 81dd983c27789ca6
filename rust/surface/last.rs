//! The last point of every cell.
//!
//! A patch erases what it covers, so the order of the points decides the image. The surface keeps,
//! for each cell, the number of the **last point** that fell on it: one store per point. A pixel
//! then looks at the 3×3 cells around it, takes the newest point and asks that point for its mask
//! and color. One plane serves pixel and patch, gray and color, exactly, and only the pixels that
//! are kept need be asked for.

use crate::frame::Window;
use crate::points::{Bounds, Points};
use crate::simd::{Simd, scatter};
use crate::surface::Mark;
use crate::surface::plot::{Go, Grid, Plane, Plot};
use crate::surface::resolve::{EMPTY, Resolve, last};

/// The last point of every cell, between a border of one empty cell on every side.
#[derive(Default)]
pub struct LastPoint {
    /// Number of the last point, counted from 1, as `number << 4 | 8`; else [`EMPTY`]. (What a pixel
    /// looks for is made of it by subtraction alone: resolve.rs.)
    last: Vec<u32>,
    height: usize,
    width: usize,
    /// The newest points around each column of one row of pixels (scratch of `resolve`).
    newest: Vec<u32>,
    /// What each pixel of the row shows, as places in the palette (scratch of `resolve`).
    places: Vec<u8>,
}

impl LastPoint {
    /// Clears the surface and lets all points fall, stretched over all of it but `margin` on each side.
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

    /// Clears the surface for points that fall one by one.
    pub fn pen(&mut self, height: usize, width: usize) -> Pen<'_> {
        let stride = self.clear(height, width);
        Pen { last: &mut self.last, height, width, stride, number: 0 }
    }

    /// Returns the cells of a row, border included.
    fn clear(&mut self, height: usize, width: usize) -> usize {
        (self.height, self.width) = (height, width);
        self.last.clear();
        self.last.resize((height + 2) * (width + 2), EMPTY);
        width + 2
    }

    /// Returns the row and column of the newest point.
    pub fn newest_cell(&self) -> (usize, usize) {
        let newest = (0..self.last.len()).max_by_key(|&cell| self.last[cell]).unwrap_or(0);
        let stride = self.width + 2;
        ((newest / stride).saturating_sub(1), (newest % stride).saturating_sub(1))
    }

    /// Writes the pixels of the window, row by row: one byte each, or three in color. `mark` is what
    /// every point leaves.
    pub fn resolve(&mut self, window: Window, mark: Mark<'_>, color: bool, simd: Simd, pixels: &mut [u8]) {
        debug_assert_eq!(pixels.len(), window.height * window.width * if color { 3 } else { 1 });
        let Self { last, width, newest, places, .. } = self;
        simd.run(Resolve { last, width: *width, newest, places, window, mark, color, pixels });
    }
}

/// Keeps the number of each cell's last point, plus one.
struct Last<'a>(&'a mut [u32]);

impl Plane for Last<'_> {
    #[inline(always)]
    fn fall(&mut self, first: usize, cells: &[u32]) -> Go {
        let number = first as u32 + 1; // at most 2²⁴
        scatter(cells, self.0, |i| last(number) + last(i as u32) - EMPTY);
        Go::On
    }
}

/// Lets points fall on cells, in order.
pub struct Pen<'a> {
    last: &'a mut [u32],
    height: usize,
    width: usize,
    stride: usize,
    number: u32,
}

impl Pen<'_> {
    /// Lets a point fall. One just below or to the right of the picture reaches into it with its
    /// patch; others out there are counted and not seen.
    #[inline]
    pub fn point(&mut self, row: usize, column: usize) {
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
    fn the_corner_points_stand_on_the_margin() {
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
