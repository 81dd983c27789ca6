//! Iterated function systems: a category is a set of affine maps and their probabilities
//! (paper, equations 1 and 2).
//!
//! `vary` turns a category into an instance. [`orbit`] plays the chaos game with the maps that
//! [`table`] picks. `draw` renders the orbit through a `view`, and `finish` adds a background and
//! blurs. [`search`] looks for categories whose filling rate, measured by [`measure`], is high enough.
//! [`released`] replays the released code.

pub mod contractive;
mod draw;
mod finish;
pub mod measure;
pub mod orbit;
pub mod released;
pub mod search;
mod style;
pub mod table;
mod vary;
mod view;

use crate::formula::system;

pub use draw::Scratch;
pub use finish::{Background, Finish};
pub use style::{Change, Draw, Patch, Shading, Style, Variation};
pub use view::View;

/// One affine map as `[a, b, c, d, e, f]`: x' = a·x + b·y + e, y' = c·x + d·y + f.
pub type Map = [f64; 6];

/// One category: affine maps of the plane and their probabilities.
pub type Ifs = system::System<6>;

/// Returns the factor by which a map scales areas, |det A| = |ad − bc|.
fn area(&[a, b, c, d, ..]: &Map) -> f64 {
    (a * d - b * c).abs()
}

/// Returns whether a map brings no two points farther apart: whether no singular value exceeds 1.
fn contracts([a, b, c, d, ..]: Map) -> bool {
    // The product and the sum of 1 − s² over the two singular values.
    let (squares, det) = (a * a + b * b + c * c + d * d, a * d - b * c);
    1.0 - squares + det * det >= 0.0 && 2.0 - squares >= 0.0
}

/// Returns the singular values of a map, the larger one first.
fn singular_values(&[a, b, c, d, ..]: &Map) -> [f64; 2] {
    // Every matrix is the sum of a scaled rotation and a scaled reflection.
    let rotation = ((a + d) * (a + d) + (c - b) * (c - b)).sqrt() / 2.0;
    let reflection = ((a - d) * (a - d) + (c + b) * (c + b)).sqrt() / 2.0;
    [rotation + reflection, (rotation - reflection).abs()]
}

/// Returns the fixed point of the first possible map, which lies on the attractor; `None` if the map
/// does not contract enough to have one.
fn fixed_point(maps: &[Map], probabilities: &[f64]) -> Option<[f32; 2]> {
    let first = probabilities.iter().position(|&p| p > 0.0)?;
    let [a, b, c, d, e, f] = maps[first];
    let scale = 1.0 / (1.0 + (a * d - b * c) - a - d);
    let point = [(1.0 - d) * e + b * f, (1.0 - a) * f + c * e].map(|v| (v * scale) as f32);
    (contracts(maps[first]) && point.iter().all(|v| v.abs() <= system::ESCAPE_RADIUS)).then_some(point)
}
