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

use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::system;

pub use draw::Scratch;
pub use finish::{Background, Finish};
pub use style::{Draw, Patch, Shading, Style, Variation};
pub use view::View;

/// One affine map as `[a, b, c, d, e, f]`: x' = a·x + b·y + e, y' = c·x + d·y + f.
pub type Map = [f64; 6];

/// One category: affine maps and their probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct Ifs {
    maps: Vec<Map>,
    probabilities: Vec<f64>,
}

impl Ifs {
    /// Creates a category from 1 to 256 maps and their probabilities.
    ///
    /// # Errors
    ///
    /// Returns an error if a map is not finite, or unless there is one probability per map, each
    /// between 0 and 1, with a sum of 1 to within 1e-6.
    pub fn new(maps: Vec<Map>, probabilities: Vec<f64>) -> Result<Self, Error> {
        system::check(&maps, &probabilities)?;
        Ok(Self { maps, probabilities })
    }

    /// Creates categories from `maps` (n, 6) and `probabilities` (n,), which hold the maps of all
    /// categories one after the other, and `lengths` (categories,), the number of maps of each.
    pub(crate) fn from_arrays(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        system::from_arrays(parameters, Self::new)
    }

    /// Creates a category in which the probability of a map is proportional to |det A| = |ad − bc|;
    /// `None` if every determinant is 0. The paper writes det A, which may be negative; the released
    /// code takes the absolute value.
    pub(crate) fn by_determinant(maps: Vec<Map>) -> Option<Self> {
        let probabilities = system::weigh(&maps, |[a, b, c, d, ..]| (a * d - b * c).abs())?;
        Some(Self { maps, probabilities })
    }

    /// Returns the maps.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// Returns the probability of each map.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
}

/// Returns whether a map brings no two points farther apart: whether no singular value exceeds 1.
fn contracts([a, b, c, d, ..]: Map) -> bool {
    // The product and the sum of 1 − s² over the two singular values.
    let (squares, det) = (a * a + b * b + c * c + d * d, a * d - b * c);
    1.0 - squares + det * det >= 0.0 && 2.0 - squares >= 0.0
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
