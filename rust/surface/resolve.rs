//! From the last points of the cells to pixels: 40 µs for 256² in gray, 100 in color.
//!
//! Passing over 32 pixels at once where no point is near gained 2 µs for random masks and lost 6 for
//! a fixed one. Writing a color as four bytes, of which the next overwrites the last, lost 10 µs.

use crate::frame::Window;
use crate::simd::{Kernel, Lanes};
use crate::surface::GRAY;
use crate::surface::mark::{Mark, Masks};
use crate::surface::palette::{COLORS, PALETTE};

/// A cell that no point fell on.
pub(super) const EMPTY: u32 = last(0);

/// What a cell holds after point `number`, counted from 1, fell on it.
pub(super) const fn last(number: u32) -> u32 {
    number << 4 | 8 // numbers have at most 25 bits
}

pub(super) struct Resolve<'a> {
    pub(super) last: &'a [u32],
    pub(super) width: usize,
    pub(super) newest: &'a mut Vec<u32>,
    pub(super) places: &'a mut Vec<u8>,
    pub(super) window: Window,
    pub(super) mark: Mark<'a>,
    pub(super) color: bool,
    pub(super) pixels: &'a mut [u8],
}

impl Kernel for Resolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // No lane is named here: compiled for each path, the loops become its vectors.
        let Self { last, width, newest, places, window, mark, color, pixels } = self;
        let stride = width + 2;
        let columns = window.width;
        let first = window.first_column();
        newest.resize(columns + 2, EMPTY);
        places.resize(columns, 0);

        for (i, pixels) in pixels.chunks_exact_mut(columns * if color { 3 } else { 1 }).enumerate() {
            let row = window.surface_row(i);
            // Cells from one left of the first pixel to one right of the last. With the
            // border, the row of cells above this row of pixels starts at `row · stride`.
            let cells = |below: usize| &last[(row + below) * stride + first..][..columns + 2];
            let row = if color { &mut places[..] } else { &mut *pixels };
            if let Mark::Patch(masks) = mark {
                newest_of_rows(cells(0), cells(1), cells(2), newest);
                // Apart, so that each is a loop without a choice in it.
                match (masks, color) {
                    (Masks::Random(key), false) => show(newest, row, |of| gray(of, Masks::Random(key))),
                    (Masks::Random(key), true) => show(newest, row, |of| place(of, Masks::Random(key))),
                    (Masks::Fixed(mask), false) => show(newest, row, |of| gray(of, Masks::Fixed(mask))),
                    (Masks::Fixed(mask), true) => show(newest, row, |of| place(of, Masks::Fixed(mask))),
                    (Masks::Listed(list), false) => show(newest, row, |of| gray(of, Masks::Listed(list))),
                    (Masks::Listed(list), true) => show(newest, row, |of| place(of, Masks::Listed(list))),
                }
            } else {
                own(&cells(1)[1..], color, row);
            }
            if window.flip_columns {
                row.reverse();
            }
            if color {
                paint(places, pixels);
            }
        }
    }
}

/// For every column the newest of three rows of cells, as `number << 4 | bit`, the bit of the
/// mask that the pixel shows were it the patch's left column: a pixel above its point shows the
/// top row of the patch, bits 8 7 6 (as cells have it), one below it the bottom, bits 2 1 0.
#[inline(always)]
fn newest_of_rows(above: &[u32], here: &[u32], below: &[u32], newest: &mut [u32]) {
    let n = newest.len();
    let (above, here, below) = (&above[..n], &here[..n], &below[..n]);
    for i in 0..n {
        newest[i] = (above[i] - 6).max(here[i] - 3).max(below[i]);
    }
}

/// For every pixel what it shows of the point it shows, given as `number << 4 | bit of the mask`.
/// `newest` starts one column left of the first pixel. Numbers differ from cell to cell, so the
/// low bits never decide between two points.
#[inline(always)]
fn show(newest: &[u32], row: &mut [u8], what: impl Fn(u32) -> u8) {
    let n = row.len();
    let (left, here, right) = (&newest[..n], &newest[1..n + 1], &newest[2..n + 2]);
    for i in 0..n {
        row[i] = what((left[i] - 2).max(here[i] - 1).max(right[i]));
    }
}

/// For every pixel what its own point shows of itself, always lit.
#[inline(always)]
fn own(cells: &[u32], color: bool, row: &mut [u8]) {
    for (pixel, &point) in row.iter_mut().zip(cells) {
        *pixel = if color { place(point, Masks::SOLID) } else { gray(point, Masks::SOLID) };
    }
}

/// Says whether the point that a pixel shows lights it.
#[inline(always)]
fn lights(shown: u32, masks: Masks<'_>) -> bool {
    (masks.of(point_of(shown)) >> (shown & 15) & 1 != 0) & (shown > EMPTY)
}

/// Counts points from 0. (An empty cell has none: what it gives is not used.)
#[inline(always)]
fn point_of(shown: u32) -> u32 {
    (shown >> 4).wrapping_sub(1)
}

#[inline(always)]
fn gray(shown: u32, masks: Masks<'_>) -> u8 {
    if lights(shown, masks) { GRAY } else { 0 }
}

/// A place in the palette; 0 is black.
#[inline(always)]
fn place(shown: u32, masks: Masks<'_>) -> u8 {
    if lights(shown, masks) { 1 + (point_of(shown) % COLORS as u32) as u8 } else { 0 } // at most 128
}

/// Looks up the colors of a row.
#[inline(always)]
pub(super) fn paint(places: &[u8], pixels: &mut [u8]) {
    for (pixel, &place) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(places) {
        *pixel = PALETTE[usize::from(place)];
    }
}
