//! Rasterization of points and strokes.
//!
//! | file | contents |
//! |---|---|
//! | `fill` | filled circles and polygons, row by row |
//! | `free` | which pixels are still free, for what is drawn from front to back |
//! | `last` | a surface that keeps the last point of every cell: for patches and strokes |
//! | `single` | a smaller surface for points of a single pixel |
//! | `density` | a surface that counts the points of every cell |
//! | `mark` | how a point is drawn: as a pixel, or as a 3×3 patch with a mask |
//! | `plane` | one byte per cell, for lines |
//! | `lines` | many lines at once |
//! | `stroke` | lines from cell to cell |
//! | `plot`, `resolve` | from points to cells, and from cells to pixels |
//! | `palette` | the authors' colors |
//! | `hsv` | colors by hue, saturation and value |
//! | `blur` | a blur of the finished image |
//! | `resize` | an image of another size |

pub(crate) mod blur;
mod density;
pub(crate) mod fill;
pub(crate) mod free;
mod hsv;
mod last;
mod lines;
mod mark;
mod palette;
mod plane;
mod plot;
mod resize;
mod resolve;
mod single;
pub(crate) mod stroke;

pub use last::LastPoint;
pub use mark::{Mark, Masks};

pub(crate) use blur::Blur;
pub(crate) use density::{Density, Tone};
pub(crate) use hsv::hsv;
pub(crate) use last::Pen;
pub(crate) use palette::palette_color;
pub(crate) use plane::Plane;
pub(crate) use resize::Resize;
pub(crate) use single::Single;

use crate::frame::Window;
use crate::simd::{Kernel, Lanes, Simd};

/// The gray of a lit pixel (paper: "grayscale means (127, 127, 127)").
pub(crate) const GRAY: u8 = 127;

/// Writes the pixels of the window from `cells`, which hold the gray of every cell of the surface in
/// row-major order. In color, the three channels are equal.
pub(crate) fn show_gray(cells: &[u8], window: Window, color: bool, pixels: &mut [u8]) {
    if color {
        window.write(cells, window.of.1, pixels.as_chunks_mut().0, |gray| [gray; 3]);
    } else {
        window.write(cells, window.of.1, pixels, |gray| gray);
    }
}

/// Writes the pixels of the window in color: `colors` has one for each value of a cell.
pub(crate) fn show_colors(cells: &[u8], window: Window, colors: &[[u8; 3]; 256], pixels: &mut [u8]) {
    window.write(cells, window.of.1, pixels.as_chunks_mut().0, |cell| colors[usize::from(cell)]);
}

/// Counts the pixels that are not black.
pub(crate) fn lit(pixels: &[u8], color: bool, simd: Simd) -> usize {
    // In every color of the palette, all three channels are nonzero.
    simd.run(CountNonzero(pixels)) / if color { 3 } else { 1 }
}

struct CountNonzero<'a>(&'a [u8]);

impl Kernel for CountNonzero<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> usize {
        // Chunks of 255 can be counted in a u8: 2 µs for 256² pixels instead of 28 µs in a usize.
        let count = |chunk: &[u8]| chunk.iter().fold(0u8, |n, &byte| n + u8::from(byte != 0));
        self.0.chunks(255).map(|chunk| usize::from(count(chunk))).sum()
    }
}
