//! From the last dots of the cells to pixels.

use crate::canvas::masks::Masks;
use crate::canvas::palette::{COLORS, PALETTE};
use crate::canvas::{Canvas, GRAY};
use crate::rendering::{Draw, Rendering};
use crate::simd::{Kernel, Lanes};
use crate::window::Window;

pub(super) struct Resolve<'a> {
    pub(super) canvas: &'a mut Canvas,
    pub(super) window: Window,
    pub(super) rendering: &'a Rendering,
    pub(super) masks: Masks<'a>,
    pub(super) pixels: &'a mut [u8],
}

impl Kernel for Resolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // No lane is named here: compiled for each path, the loops become its vectors.
        let Self { canvas: Canvas { last, height, width, newest, shown }, window, rendering, masks, pixels } =
            self;
        let stride = *width + 2;
        let columns = window.width;
        // The first column kept, as it stands on the canvas.
        let first = if window.flip_columns { *width - window.left - columns } else { window.left };
        newest.resize(columns + 2, 0);
        shown.resize(columns, 0);

        for (i, pixels) in pixels.chunks_exact_mut(columns * rendering.channels()).enumerate() {
            let row = window.top + i;
            let row = if window.flip_rows { *height - 1 - row } else { row };
            // Cells from one left of the first pixel to one right of the last. With the
            // border, the row of cells above this row of pixels starts at `row · stride`.
            let cells = |below: usize| &last[(row + below) * stride + first..][..columns + 2];
            if rendering.draw == Draw::Point {
                // A dot's own pixel, always lit: a patch of one.
                for (shown, &dot) in shown.iter_mut().zip(&cells(1)[1..]) {
                    *shown = dot << 4;
                }
            } else {
                newest_of_rows(cells(0), cells(1), cells(2), newest);
                newest_of_columns(newest, shown);
            }
            // Apart, so that each is a loop without a choice in it.
            match masks {
                Masks::Random(key) => ask_the_dots(shown, Masks::Random(key)),
                Masks::Fixed(mask) => ask_the_dots(shown, Masks::Fixed(mask)),
                Masks::Listed(masks) => ask_the_dots(shown, Masks::Listed(masks)),
            }
            if rendering.color {
                for (pixel, &shown) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&*shown) {
                    *pixel = PALETTE[shown as usize % PALETTE.len()];
                }
            } else {
                for (pixel, &shown) in pixels.iter_mut().zip(&*shown) {
                    *pixel = if shown == 0 { 0 } else { GRAY };
                }
            }
            if window.flip_columns && rendering.color {
                pixels.as_chunks_mut::<3>().0.reverse();
            } else if window.flip_columns {
                pixels.reverse();
            }
        }
    }
}

/// For every column the newest of three rows of cells, as `number << 4 | row of the mask`:
/// a pixel below its dot shows the bottom row of the patch, 2, one above it the top, 0.
#[inline(always)]
fn newest_of_rows(above: &[u32], here: &[u32], below: &[u32], newest: &mut [u32]) {
    let n = newest.len();
    let (above, here, below) = (&above[..n], &here[..n], &below[..n]);
    for i in 0..n {
        newest[i] = (above[i] << 4 | 2).max(here[i] << 4 | 1).max(below[i] << 4);
    }
}

/// For every pixel what it shows: `number << 4 | column of the mask << 2 | row`. `newest`
/// starts one column left of the first pixel. Numbers differ from cell to cell, so the
/// low bits never decide between two dots.
#[inline(always)]
fn newest_of_columns(newest: &[u32], shown: &mut [u32]) {
    let n = shown.len();
    let (left, here, right) = (&newest[..n], &newest[1..n + 1], &newest[2..n + 2]);
    for i in 0..n {
        shown[i] = (left[i] | 2 << 2).max(here[i] | 1 << 2).max(right[i]);
    }
}

/// Turns what each pixel shows into its place in the palette: 0 where there is no dot or its
/// mask is black, else one more than the dot's number modulo 128.
#[inline(always)]
fn ask_the_dots(shown: &mut [u32], masks: Masks<'_>) {
    for shown in shown {
        let (number, row, column) = (*shown >> 4, *shown & 3, (*shown >> 2) & 3);
        let dot = number.wrapping_sub(1);
        let bit = (masks.of(dot) >> (8 - 3 * row - column)) & 1;
        let lit = (bit != 0) & (number != 0);
        *shown = if lit { 1 + dot % COLORS as u32 } else { 0 };
    }
}
