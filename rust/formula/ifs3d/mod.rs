//! Iterated function systems in three dimensions, seen from many sides: ExFractalDB and MV-FractalDB
//! (Kataoka et al., "Replacing Labeled Real-image Datasets with Auto-generated Contours", CVPR 2022;
//! Yamada et al., "MV-FractalDB", IROS 2021).
//!
//! A category is a set of affine maps of space. An instance scales one coefficient of every map and plays
//! the chaos game, which yields a point cloud; an image is one view of that cloud. The rules are those of
//! the released code (MIT license, AIST); none of it is here.
//!
//! | file | what it holds |
//! |---|---|
//! | `style` | the settings |
//! | `instance` | from an index to the scaled coefficient and the view |
//! | `cloud` | the points, and their normalization |
//! | `orbit` | the chaos game: sixteen orbits side by side |
//! | `released` | the released code's chaos game, determinant and random stream |
//! | `camera` | from points to pixels |
//! | `draw` | one image |
//! | [`search`] | the search for categories |

pub(crate) mod camera;
mod cloud;
pub(crate) mod draw;
mod instance;
mod orbit;
mod released;
pub mod search;
mod style;

use crate::formula::system;

pub use draw::Scratch;
pub use style::{Style, View};

/// One affine map as a…l: x' = a·x + b·y + c·z + j, y' = d·x + e·y + f·z + k,
/// z' = g·x + h·y + i·z + l.
pub type Map = [f64; 12];

/// One category: affine maps of space and their probabilities.
pub type Ifs3d = system::System<12>;

/// Returns the factor by which a map scales volumes, |det A|, expanded along the first row.
fn volume(&[a, b, c, d, e, f, g, h, i, ..]: &Map) -> f64 {
    (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)).abs()
}
