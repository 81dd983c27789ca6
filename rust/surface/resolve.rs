//! From the last point of each cell to pixels: 40 µs for 256² pixels in gray, 100 µs in color.
//!
//! Alternatives that were measured: skipping 32 pixels at once where no point is near gained 2 µs
//! with random masks and lost 6 µs with a fixed one; writing each color as four bytes, the last of
//! which is overwritten by the next color, lost 10 µs.

use crate::frame::Window;
use crate::simd::{Kernel, Lanes};
use crate::surface::GRAY;
use crate::surface::mark::{Mark, Masks};
use crate::surface::palette::{COLORS, PALETTE};

/// The value of an empty cell.
pub(super) const EMPTY: u32 = last(0);

/// Returns the value of a cell whose last point is `number`, counted from 1.
pub(super) const fn last(number: u32) -> u32 {
    number << 4 | 8 // numbers have at most 25 bits
}

pub(super) struct Resolve<'a> {
    pub(super) last: &'a [u32],
    pub(super) width: usize,
    pub(super) newest: &'a mut Vec<u32>,
    pub(super) indices: &'a mut Vec<u8>,
    pub(super) window: Window,
    pub(super) mark: Mark<'a>,
    pub(super) color: bool,
    pub(super) pixels: &'a mut [u8],
}

impl Kernel for Resolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { last, width, newest, indices, window, mark, color, pixels } = self;
        let stride = width + 2;
        let columns = window.width;
        let first = window.first_column();
        newest.resize(columns + 2, EMPTY);
        indices.resize(columns, 0);

        for (i, pixels) in pixels.chunks_exact_mut(columns * if color { 3 } else { 1 }).enumerate() {
            let row = window.surface_row(i);
            // Includes one cell left of the first pixel and one right of the last. Because of the
            // border, the row of cells above this row of pixels starts at `row · stride`.
            let cells = |below: usize| &last[(row + below) * stride + first..][..columns + 2];
            let row = if color { &mut indices[..] } else { &mut *pixels };
            if let Mark::Patch(masks) = mark {
                newest_of_rows(cells(0), cells(1), cells(2), newest);
                // Six separate loops, so that none of them branches on the masks or the color.
                match (masks, color) {
                    (Masks::Random(key), false) => show(newest, row, |of| gray(of, Masks::Random(key))),
                    (Masks::Random(key), true) => show(newest, row, |of| index(of, Masks::Random(key))),
                    (Masks::Fixed(mask), false) => show(newest, row, |of| gray(of, Masks::Fixed(mask))),
                    (Masks::Fixed(mask), true) => show(newest, row, |of| index(of, Masks::Fixed(mask))),
                    (Masks::Listed(list), false) => show(newest, row, |of| gray(of, Masks::Listed(list))),
                    (Masks::Listed(list), true) => show(newest, row, |of| index(of, Masks::Listed(list))),
                }
            } else {
                show_pixels(&cells(1)[1..], color, row);
            }
            if window.flip_columns {
                row.reverse();
            }
            if color {
                paint(indices, pixels);
            }
        }
    }
}

/// Finds the newest point of three rows of cells, for every column. A point is given as
/// `number << 4 | bit`, where `bit` is the bit of its mask for the current row of pixels, in the left
/// column of the patch. Points in the row of cells above show the bottom row of their patch, whose
/// leftmost bit is 2 = 8 − 6; those in the row below show the top row, whose leftmost bit is 8.
#[inline(always)]
fn newest_of_rows(above: &[u32], here: &[u32], below: &[u32], newest: &mut [u32]) {
    let n = newest.len();
    let (above, here, below) = (&above[..n], &here[..n], &below[..n]);
    for i in 0..n {
        newest[i] = (above[i] - 6).max(here[i] - 3).max(below[i]);
    }
}

/// Finds the newest point of three columns for every pixel, as `number << 4 | bit of the mask`, and
/// writes `value` of it. `newest` starts one column left of the first pixel. The low bits never decide
/// between two points, because no two cells have the same number.
#[inline(always)]
fn show(newest: &[u32], row: &mut [u8], value: impl Fn(u32) -> u8) {
    let n = row.len();
    let (left, here, right) = (&newest[..n], &newest[1..n + 1], &newest[2..n + 2]);
    for i in 0..n {
        row[i] = value((left[i] - 2).max(here[i] - 1).max(right[i]));
    }
}

/// Writes the pixels of points that are drawn as single pixels.
#[inline(always)]
fn show_pixels(cells: &[u32], color: bool, row: &mut [u8]) {
    for (pixel, &point) in row.iter_mut().zip(cells) {
        *pixel = if color { index(point, Masks::SOLID) } else { gray(point, Masks::SOLID) };
    }
}

/// Returns whether a point (`number << 4 | bit of the mask`) lights the pixel.
#[inline(always)]
fn lights(point: u32, masks: Masks<'_>) -> bool {
    (masks.of(number(point)) >> (point & 15) & 1 != 0) & (point > EMPTY)
}

/// Returns the number of a point, from 0; meaningless for an empty cell.
#[inline(always)]
fn number(point: u32) -> u32 {
    (point >> 4).wrapping_sub(1)
}

#[inline(always)]
fn gray(point: u32, masks: Masks<'_>) -> u8 {
    if lights(point, masks) { GRAY } else { 0 }
}

/// Returns a palette index; 0 is black.
#[inline(always)]
fn index(point: u32, masks: Masks<'_>) -> u8 {
    if lights(point, masks) { 1 + (number(point) % COLORS as u32) as u8 } else { 0 } // at most 128
}

/// Writes the colors of a row of palette indices.
#[inline(always)]
fn paint(indices: &[u8], pixels: &mut [u8]) {
    for (pixel, &index) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(indices) {
        *pixel = PALETTE[usize::from(index)];
    }
}
