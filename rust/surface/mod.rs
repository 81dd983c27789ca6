//! Rasterization of points and strokes.
//!
//! | file | contents |
//! |---|---|
//! | [`last`] | a surface that keeps the last point of every cell: for patches and strokes |
//! | [`single`] | a smaller surface for points of a single pixel |
//! | [`mark`] | how a point is drawn: as a pixel, or as a 3×3 patch with a mask |
//! | [`plane`] | one byte per cell, for lines |
//! | [`stroke`] | lines from cell to cell |
//! | `plot`, `resolve` | from points to cells, and from cells to pixels |
//! | `palette` | the authors' colors |

pub mod last;
pub mod mark;
mod palette;
pub mod plane;
mod plot;
mod resolve;
pub mod single;
pub mod stroke;

pub use last::{LastPoint, Pen};
pub use mark::{Mark, Masks};
pub use palette::palette_color;
pub use plane::Plane;
pub use single::Single;

use crate::frame::Window;
use crate::simd::{Kernel, Lanes, Simd};

/// The gray of a lit pixel (paper: "grayscale means (127, 127, 127)").
pub const GRAY: u8 = 127;

/// Writes the pixels of the window from `cells`, which hold the gray of every cell of the surface in
/// row-major order. In color, the three channels are equal.
pub(crate) fn show_gray(cells: &[u8], window: Window, color: bool, pixels: &mut [u8]) {
    let channels = if color { 3 } else { 1 };
    for (row, pixels) in pixels.chunks_exact_mut(window.width * channels).enumerate() {
        let cells = &cells[window.surface_row(row) * window.of.1..][..window.of.1];
        for (column, pixel) in pixels.chunks_exact_mut(channels).enumerate() {
            pixel.fill(cells[window.surface_column(column)]);
        }
    }
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
