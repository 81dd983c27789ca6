//! A surface that counts the points of every cell.
//!
//! A point adds its mark to the cells around it and erases nothing, so the order of the points does
//! not matter. One mask for the whole image is added once per cell and not once per point.

use std::ops::ControlFlow;

use crate::frame::Window;
use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes, Simd, count};
use crate::surface::plot::{Cells, Grid, Plot};
use crate::surface::{GRAY, Mark, Masks};

/// The number of points that cover each cell.
#[derive(Default)]
pub(crate) struct Density {
    /// The points of each cell, with a border of one cell on every side.
    points: Vec<u32>,
    /// The points whose marks cover each cell.
    covered: Vec<u32>,
    largest: u32,
    /// Scratch of `show`: the shade of each pixel in a row.
    shades: Vec<u16>,
}

/// How a number of points becomes a pixel. A pixel without points is black.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone<'a> {
    /// [`GRAY`].
    Lit,
    /// The share of the largest number, 1 being white.
    Gray,
    /// That share is a hue, which starts at `shift` and goes around once in 256 steps.
    Hue {
        /// 0.0..255.0
        shift: f64,
        /// The color of each hue.
        colors: &'a [[u8; 3]; 256],
    },
}

/// The shade of a pixel without points; others are bytes.
const BLACK: u16 = 256;

impl Density {
    /// Clears the surface and plots all points, stretched to fill it up to the margin.
    pub(crate) fn plot(
        &mut self,
        points: &Points,
        bounds: Bounds,
        size: [usize; 2],
        margin: usize,
        mark: Mark<'_>,
        simd: Simd,
    ) {
        let [height, width] = size;
        let stride = width + 2;
        let Self { points: counts, covered, .. } = self;
        counts.clear();
        counts.resize((height + 2) * stride, 0);
        let grid = Grid::new(bounds, size, margin, 1);
        let mask = match mark {
            Mark::Pixel => 1 << 4,
            Mark::Patch(Masks::Fixed(mask)) => mask,
            Mark::Patch(masks) => {
                simd.run(Plot { points, grid, plane: Patches { counts: &mut counts[..], masks, stride } });
                1 << 4
            }
        };
        if !matches!(mark, Mark::Patch(Masks::Random(_) | Masks::Listed(_))) {
            simd.run(Plot { points, grid, plane: Counts(&mut counts[..]) });
        }
        covered.resize(height * width, 0);
        self.largest = simd.run(Cover { counts, covered, width, mask });
    }

    /// Writes the pixels of the window in row-major order, three bytes each in color. Returns the
    /// number of pixels with points.
    pub(crate) fn show(
        &mut self,
        window: Window,
        tone: Tone<'_>,
        color: bool,
        simd: Simd,
        pixels: &mut [u8],
    ) -> usize {
        let Self { covered, largest, shades, .. } = self;
        simd.run(Show { covered, largest: *largest, shades, window, tone, color, pixels })
    }
}

/// Counts the points of each cell.
struct Counts<'a>(&'a mut [u32]);

impl Cells for Counts<'_> {
    #[inline(always)]
    fn plot(&mut self, _: usize, cells: &[u32]) -> ControlFlow<()> {
        count(cells, self.0);
        ControlFlow::Continue(())
    }
}

/// Counts the patches that cover each cell, each with a mask of its own.
struct Patches<'a> {
    counts: &'a mut [u32],
    masks: Masks<'a>,
    stride: usize,
}

impl Cells for Patches<'_> {
    #[inline(always)]
    fn plot(&mut self, first: usize, cells: &[u32]) -> ControlFlow<()> {
        for (i, &cell) in cells.iter().enumerate() {
            let mask = self.masks.of((first + i) as u32); // at most 2²⁴
            let corner = cell as usize - self.stride - 1; // in the border at the least
            for bit in 0..9 {
                self.counts[corner + bit / 3 * self.stride + bit % 3] += mask >> (8 - bit) & 1;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Adds a mask to every point and returns the largest number.
struct Cover<'a> {
    counts: &'a [u32],
    covered: &'a mut [u32],
    width: usize,
    mask: u32,
}

impl Kernel for Cover<'_> {
    type Output = u32;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> u32 {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { counts, covered, width, mask } = self;
        let mut largest = 0;
        for (row, covered) in covered.chunks_exact_mut(width).enumerate() {
            covered.fill(0);
            for bit in (0..9).filter(|bit| mask >> (8 - bit) & 1 != 0) {
                // The top left pixel of a mask (bit 8) comes from the point below and right of it.
                let from = &counts[(row + 2 - bit / 3) * (width + 2) + 2 - bit % 3..][..width];
                covered.iter_mut().zip(from).for_each(|(covered, &count)| *covered += count);
            }
            largest =
                covered.iter().fold(largest, |largest, &count| if count > largest { count } else { largest });
        }
        largest
    }
}

/// Writes the pixels of the window.
struct Show<'a> {
    covered: &'a [u32],
    largest: u32,
    shades: &'a mut Vec<u16>,
    window: Window,
    tone: Tone<'a>,
    color: bool,
    pixels: &'a mut [u8],
}

impl Kernel for Show<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> usize {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { covered, largest, shades, window, tone, color, pixels } = self;
        let (width, columns) = (window.of.1, window.width);
        let first = window.first_column();
        shades.resize(columns, 0);
        let share = 255.0 / f64::from(largest.max(1));
        let exact = |count: u32| f64::from(count) * 255.0 / f64::from(largest.max(1));
        let mut lit = 0;
        for (i, pixels) in pixels.chunks_exact_mut(columns * if color { 3 } else { 1 }).enumerate() {
            let counts = &covered[window.surface_row(i) * width + first..][..columns];
            let to = shades.iter_mut().zip(counts);
            match tone {
                Tone::Lit => to.for_each(|(shade, &n)| *shade = if n > 0 { GRAY.into() } else { BLACK }),
                Tone::Gray => to.for_each(|(shade, &n)| {
                    *shade = if n > 0 { exact(n) as u16 } else { BLACK }; // truncates
                }),
                Tone::Hue { shift, .. } => to.for_each(|(shade, &n)| {
                    let hue = f64::from(n) * share + shift; // less than 510
                    *shade = if n > 0 { hue as u16 & 255 } else { BLACK };
                }),
            }
            lit += counts.iter().map(|&n| u32::from(n > 0)).sum::<u32>() as usize; // at most 4096
            if window.flip_columns {
                shades.reverse();
            }
            if let Tone::Hue { colors, .. } = tone {
                for (pixel, &shade) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&*shades) {
                    *pixel = if shade < BLACK { colors[usize::from(shade & 255)] } else { [0; 3] };
                }
            } else if color {
                for (pixel, &shade) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&*shades) {
                    *pixel = [(shade % BLACK) as u8; 3]; // black is 0
                }
            } else {
                // Black is 0.
                pixels.iter_mut().zip(&*shades).for_each(|(pixel, &shade)| *pixel = shade as u8);
            }
        }
        lit
    }
}
