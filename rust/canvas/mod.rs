//! Dots becoming pixels.
//!
//! A patch erases what it covers, so the order of the dots decides the picture. The canvas
//! keeps, for each cell, the number of the **last dot** that fell on it: one store a dot.
//! A pixel then looks at the 3×3 cells around it, takes the newest dot and asks that dot
//! for its mask and colour. One plane serves point and patch, gray and colour, exactly,
//! and only the pixels that are kept need be asked for. (Dots of one pixel that all are known
//! at once have a plane of their own, a quarter as large: `points.rs`.)

mod masks;
mod palette;
mod plot;
mod points;
mod resolve;

pub use masks::Masks;
pub(crate) use points::Points;

use crate::canvas::plot::{Go, Grid, Plane, Plot};
use crate::canvas::resolve::Resolve;
use crate::dots::{Bounds, Dots};
use crate::rendering::Rendering;
use crate::simd::{Kernel, Lanes, Simd, scatter};
use crate::window::Window;

/// The gray of a lit pixel (paper: "grayscale means (127, 127, 127)").
pub const GRAY: u8 = 127;

/// A cell that no dot fell on.
const EMPTY: u32 = last(0);

/// What a cell holds after dot `number`, counted from 1, fell on it.
const fn last(number: u32) -> u32 {
    number << 4 | 8 // numbers have at most 25 bits
}

/// The last dot of every cell, between a border of one empty cell on every side.
#[derive(Default)]
pub struct Canvas {
    /// Number of the last dot, counted from 1, as `number << 4 | 8`; else [`EMPTY`]. (What a pixel
    /// looks for is made of it by subtraction alone: resolve.rs.)
    last: Vec<u32>,
    height: usize,
    width: usize,
    /// The newest dots around each column of one row of pixels (scratch of `resolve`).
    newest: Vec<u32>,
    /// What each pixel of the row shows, as places in the palette (scratch of `resolve`).
    places: Vec<u8>,
}

impl Canvas {
    /// Clears the canvas and lets all dots fall, stretched over all of it but `pad` on each side.
    pub fn plot(&mut self, dots: &Dots, bounds: Bounds, height: usize, width: usize, pad: usize, simd: Simd) {
        self.clear(height, width);
        let grid = Grid::new(bounds, [height, width], pad, 1);
        simd.run(Plot { dots, grid, plane: Last(&mut self.last) });
    }

    /// Clears the canvas for dots that fall one by one.
    pub(crate) fn pen(&mut self, height: usize, width: usize) -> Pen<'_> {
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

    /// Returns the row and column of the newest dot.
    pub(crate) fn newest_cell(&self) -> (usize, usize) {
        let newest = (0..self.last.len()).max_by_key(|&cell| self.last[cell]).unwrap_or(0);
        let stride = self.width + 2;
        ((newest / stride).saturating_sub(1), (newest % stride).saturating_sub(1))
    }

    /// Writes the pixels of the window, row by row: one byte each, or three in colour.
    pub fn resolve(
        &mut self,
        window: Window,
        rendering: &Rendering,
        masks: Masks<'_>,
        simd: Simd,
        pixels: &mut [u8],
    ) {
        debug_assert_eq!(pixels.len(), window.height * window.width * rendering.channels());
        simd.run(Resolve { canvas: self, window, rendering, masks, pixels });
    }
}

/// Keeps the number of each cell's last dot, plus one.
struct Last<'a>(&'a mut [u32]);

impl Plane for Last<'_> {
    #[inline(always)]
    fn fall(&mut self, first: usize, cells: &[u32]) -> Go {
        let number = first as u32 + 1; // at most 2²⁴
        scatter(cells, self.0, |i| last(number) + last(i as u32) - EMPTY);
        Go::On
    }
}

/// Lets dots fall on cells, in order.
pub(crate) struct Pen<'a> {
    last: &'a mut [u32],
    height: usize,
    width: usize,
    stride: usize,
    number: u32,
}

impl Pen<'_> {
    /// Lets a dot fall. One just below or to the right of the picture reaches into it with its
    /// patch; others out there are counted and not seen.
    #[inline]
    pub(crate) fn dot(&mut self, row: usize, column: usize) {
        self.number += 1;
        if row <= self.height && column <= self.width {
            self.last[(row + 1) * self.stride + column + 1] = last(self.number);
        }
    }
}

/// Counts the pixels that are not black.
pub(crate) fn lit(pixels: &[u8], rendering: &Rendering, simd: Simd) -> usize {
    // No colour of the palette has a channel without light.
    simd.run(NotZero(pixels)) / rendering.channels()
}

struct NotZero<'a>(&'a [u8]);

impl Kernel for NotZero<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> usize {
        // So few that a byte holds their number: 2 µs for 256² pixels, counted as words 28.
        let count = |few: &[u8]| few.iter().fold(0u8, |n, &byte| n + u8::from(byte != 0));
        self.0.chunks(255).map(|few| usize::from(count(few))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corner_dots_stand_on_the_padding() {
        let dots = Dots { x: vec![-3.0, 5.0], y: vec![0.5, 0.25] };
        let bounds = Bounds { min: [-3.0, 0.25], max: [5.0, 0.5] };
        for simd in Simd::available() {
            for (pad, low, high) in [(6, 6, 26), (0, 0, 31)] {
                let mut canvas = Canvas::default();
                canvas.plot(&dots, bounds, 32, 32, pad, simd);
                let at = |row: usize, column: usize| canvas.last[(row + 1) * 34 + column + 1];
                assert_eq!((at(high, low), at(low, high)), (last(1), last(2)));
                assert_eq!(canvas.last.iter().filter(|&&dot| dot != EMPTY).count(), 2);
                assert_eq!(canvas.newest_cell(), (low, high));
            }
        }
    }
}
