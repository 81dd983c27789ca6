//! Dots becoming pixels.
//!
//! A patch erases what it covers, so the order of the dots decides the picture. The canvas
//! keeps, for each cell, the number of the **last dot** that fell on it: one store a dot.
//! A pixel then looks at the 3×3 cells around it, takes the newest dot and asks that dot
//! for its mask and colour. One plane serves point and patch, gray and colour, exactly,
//! and only the pixels that are kept need be asked for.

use crate::dots::{Bounds, Dots};
use crate::rendering::{Draw, Rendering};
use crate::simd::{Kernel, Lanes, Simd};
use crate::window::Window;

/// The gray of a lit pixel (paper: "grayscale means (127, 127, 127)").
pub const GRAY: u8 = 127;
/// Colours in the authors' cycle.
const COLORS: usize = 128;

/// Where the masks of the 3×3 patches come from; bit 8 is the top left pixel, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks<'a> {
    /// Hashed from the number of the dot with this key, uniform over 1..=511.
    Random(u32),
    /// The same for every dot.
    Fixed(u32),
    /// One a dot, in their order.
    Listed(&'a [u16]),
}

impl Masks<'_> {
    /// All nine pixels lit, for every dot.
    pub const SOLID: Self = Self::Fixed(511);

    /// Returns the mask of a dot.
    #[inline(always)]
    pub fn of(self, dot: u32) -> u32 {
        match self {
            Masks::Random(key) => {
                // Two rounds of murmur3's finaliser, then 23 bits scaled to 511 values: no
                // mask is likelier than another by more than 1 in 16,000.
                let hash = (dot ^ key).wrapping_mul(0x85EB_CA6B);
                let hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
                let hash = hash ^ hash >> 16;
                (((hash >> 9) * 511) >> 23) + 1
            }
            Masks::Fixed(mask) => mask,
            // An empty cell asks, too: its dot has no number.
            Masks::Listed(masks) => masks.get(dot as usize).map_or(0, |&mask| mask.into()),
        }
    }
}

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

/// Maps a coordinate to a column or row: `(v − min) · scale + offset`, cut to an integer.
#[derive(Clone, Copy)]
struct Stretch {
    min: f32,
    scale: f32,
    offset: f32,
}

impl Stretch {
    fn new(min: f32, max: f32, size: usize, pad: usize) -> Self {
        // The authors stretch over size − 2·pad; without padding that would be one too far.
        let span = (size - 2 * pad).min(size - 1 - pad) as f32;
        let range = max - min;
        // Dots in one line have no width to stretch: they stand in the middle.
        if range < f32::MIN_POSITIVE * 1e6 {
            return Self { min, scale: 0.0, offset: (size / 2) as f32 };
        }
        Self { min, scale: span / range, offset: pad as f32 }
    }

    #[inline(always)]
    fn on<L: Lanes>(self, l: L) -> [L::F; 3] {
        [l.splat_f(self.min), l.splat_f(self.scale), l.splat_f(self.offset)]
    }
}

/// Dots whose cells are found, and fetched, before they fall.
const CHUNK: usize = 64;

struct Plot<'a> {
    dots: &'a Dots,
    columns: Stretch,
    rows: Stretch,
    stride: usize,
    last: &'a mut [u32],
}

impl Kernel for Plot<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { dots, columns, rows, stride, last } = self;
        let (columns, rows) = (columns.on(l), rows.on(l));
        let stride_u = l.splat_u(stride as u32);
        // One row and one column of border.
        let border = l.splat_u(stride as u32 + 1);

        let mut number = 0;
        let mut cells = [0u32; CHUNK];
        let mut waiting = ([0u32; CHUNK], 0);
        let (mut rest_x, mut rest_y) = ([0.0; CHUNK], [0.0; CHUNK]);
        for (x, y) in dots.x.chunks(CHUNK).zip(dots.y.chunks(CHUNK)) {
            let (mut all_x, mut all_y) = (x, y);
            if x.len() < CHUNK {
                rest_x[..x.len()].copy_from_slice(x);
                rest_y[..y.len()].copy_from_slice(y);
                (all_x, all_y) = (&rest_x, &rest_y);
            }
            for at in (0..CHUNK).step_by(L::N) {
                let row = stretched(l, l.load_f(&all_y[at..]), rows);
                let column = stretched(l, l.load_f(&all_x[at..]), columns);
                l.store_u(&mut cells[at..], l.add_u(l.add_u(l.mul_u(row, stride_u), column), border));
            }
            for &cell in &cells {
                l.prefetch(last, cell);
            }
            fall(last, &mut waiting, &mut number);
            waiting = (cells, x.len());
        }
        fall(last, &mut waiting, &mut number);
    }
}

/// Lets the waiting dots fall, in order.
#[inline(always)]
fn fall(last: &mut [u32], (cells, dots): &mut ([u32; CHUNK], usize), number: &mut u32) {
    for &cell in &cells[..*dots] {
        *number += 1;
        last[cell as usize] = *number;
    }
}

/// Stretches and cuts to an integer, as [`Stretch`] says. (Functions, not closures: see
/// `affine` in orbit.rs.)
#[inline(always)]
fn stretched<L: Lanes>(l: L, v: L::F, [min, scale, offset]: [L::F; 3]) -> L::U {
    l.truncate(l.add_f(l.mul_f(l.sub_f(v, min), scale), offset))
}

struct Resolve<'a> {
    canvas: &'a mut Canvas,
    window: Window,
    rendering: &'a Rendering,
    masks: Masks<'a>,
    pixels: &'a mut [u8],
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

/// The authors' cycle of colours: hue 2π·i/128, saturation and intensity 0.75, cut to
/// bytes, their blue-green-red read as red-green-blue. The sextants are straight lines,
/// so no cosine is needed. Entry 0 is black; the rest up to a power of two is never shown.
static PALETTE: [[u8; 3]; 2 * COLORS] = palette();

const fn palette() -> [[u8; 3]; 2 * COLORS] {
    const HIGH: f64 = 0.75;
    const LOW: f64 = HIGH * (1.0 - 0.75);
    let mut palette = [[0; 3]; 2 * COLORS];
    let mut i = 0;
    while i < COLORS {
        let hue = i as f64 * 6.0 / COLORS as f64;
        let sextant = hue as u8;
        let along = hue - sextant as f64;
        let up = LOW + (HIGH - LOW) * along;
        let down = HIGH - (HIGH - LOW) * along;
        let [r, g, b] = match sextant {
            0 => [HIGH, up, LOW],
            1 => [down, HIGH, LOW],
            2 => [LOW, HIGH, up],
            3 => [LOW, down, HIGH],
            4 => [up, LOW, HIGH],
            _ => [HIGH, LOW, down],
        };
        palette[i + 1] = [(b * 255.0) as u8, (g * 255.0) as u8, (r * 255.0) as u8]; // cut, not rounded
        i += 1;
    }
    palette
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mask_is_about_as_likely_and_none_is_empty() {
        let mut counts = [0u32; 512];
        for dot in 0..511_000 {
            counts[Masks::Random(12345).of(dot) as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        // Poisson with mean 1000: six standard deviations.
        assert!(counts[1..].iter().all(|&count| (810..1190).contains(&count)));
    }

    #[test]
    fn the_colours_are_the_authors_colours() {
        // Read off a picture that the authors' program drew.
        assert_eq!(PALETTE[1], [47, 47, 191]);
        assert_eq!(PALETTE[2], [47, 54, 191]);
        assert_eq!(PALETTE[22], [47, 189, 191]);
        assert_eq!(PALETTE.iter().flatten().max(), Some(&191));
    }

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
