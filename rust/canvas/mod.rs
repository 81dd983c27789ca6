//! Dots becoming pixels.
//!
//! A patch erases what it covers, so the order of the dots decides the picture. The canvas
//! keeps, for each cell, the number of the **last dot** that fell on it: one store a dot.
//! A pixel then looks at the 3×3 cells around it, takes the newest dot and asks that dot
//! for its mask and colour. One plane serves point and patch, gray and colour, exactly,
//! and only the pixels that are kept need be asked for.

mod masks;
mod palette;
mod plot;
mod resolve;

pub use masks::Masks;

use crate::canvas::plot::{Plot, Stretch};
use crate::canvas::resolve::Resolve;
use crate::dots::{Bounds, Dots};
use crate::rendering::Rendering;
use crate::simd::Simd;
use crate::window::Window;

/// The gray of a lit pixel (paper: "grayscale means (127, 127, 127)").
pub const GRAY: u8 = 127;

/// The last dot of every cell, between a border of one empty cell on every side.
#[derive(Default)]
pub struct Canvas {
    /// Number of the last dot plus one; 0 is empty.
    last: Vec<u32>,
    height: usize,
    width: usize,
    /// The newest dots around each column of one row of pixels (scratch of `resolve`).
    newest: Vec<u32>,
    /// What each pixel of the row shows (scratch of `resolve`).
    shown: Vec<u32>,
}

impl Canvas {
    /// Clears the canvas and lets all dots fall: x and y are stretched independently so
    /// that the dots fill the columns `pad ..= width − pad` and the rows alike.
    pub(crate) fn plot(
        &mut self,
        dots: &Dots,
        bounds: Bounds,
        height: usize,
        width: usize,
        pad: usize,
        simd: Simd,
    ) {
        let stride = self.clear(height, width);
        let columns = Stretch::new(bounds.min[0], bounds.max[0], width, pad);
        let rows = Stretch::new(bounds.min[1], bounds.max[1], height, pad);
        simd.run(Plot { dots, columns, rows, stride, last: &mut self.last });
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
        self.last.resize((height + 2) * (width + 2), 0);
        width + 2
    }

    /// Returns the share of cells that a dot fell on (the paper's filling rate).
    pub fn fill_rate(&self) -> f64 {
        let lit = self.last.iter().filter(|&&dot| dot != 0).count();
        lit as f64 / (self.height * self.width) as f64
    }

    /// Returns the row and column of the newest dot.
    pub(crate) fn newest_cell(&self) -> (usize, usize) {
        let newest = (0..self.last.len()).max_by_key(|&cell| self.last[cell]).unwrap_or(0);
        let stride = self.width + 2;
        ((newest / stride).saturating_sub(1), (newest % stride).saturating_sub(1))
    }

    /// Writes the pixels of the window, row by row: one byte each, or three in colour.
    pub(crate) fn resolve(
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
            self.last[(row + 1) * self.stride + column + 1] = self.number;
        }
    }
}

/// Counts the pixels that are not black.
pub(crate) fn lit(pixels: &[u8], rendering: &Rendering) -> usize {
    if rendering.color {
        pixels.as_chunks::<3>().0.iter().filter(|&&pixel| pixel != [0; 3]).count()
    } else {
        pixels.iter().filter(|&&pixel| pixel != 0).count()
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
                assert_eq!((at(high, low), at(low, high)), (1, 2));
                assert_eq!(canvas.fill_rate(), 2.0 / 1024.0);
                assert_eq!(canvas.newest_cell(), (low, high));
            }
        }
    }
}
