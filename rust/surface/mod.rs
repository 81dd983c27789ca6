//! Points, strokes and fields becoming pixels.
//!
//! | file | what it holds |
//! |---|---|
//! | [`last`] | the last point of every cell: patches, strokes, anything drawn in order |
//! | [`single`] | points of one pixel that all are known at once: a plane a quarter as large |
//! | [`mark`] | what a point leaves: a pixel, or a 3×3 patch and its mask |
//! | [`stroke`] | lines from cell to cell |
//! | `plot`, `resolve` | from points to cells, and from cells to pixels |
//! | `palette` | the authors' colors |

pub mod last;
pub mod mark;
mod palette;
mod plot;
mod resolve;
pub mod single;
pub mod stroke;

pub use last::LastPoint;
pub use mark::{Mark, Masks};
pub use single::Single;

use crate::simd::{Kernel, Lanes, Simd};

/// The gray of a lit pixel (paper: "grayscale means (127, 127, 127)").
pub const GRAY: u8 = 127;

/// Counts the pixels that are not black.
pub(crate) fn lit(pixels: &[u8], color: bool, simd: Simd) -> usize {
    // No color of the palette has a channel without light.
    simd.run(NotZero(pixels)) / if color { 3 } else { 1 }
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
