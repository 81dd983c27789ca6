//! The settings of an IFS, checked when they are created and trusted afterwards.

use serde::Deserialize;

use crate::error::Error;
use crate::frame::Frame;

/// How a point is drawn (paper, section 3.3, "Patch vs. Point").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// One pixel.
    Point,
    /// A 3×3 patch, whose black pixels overwrite what is below them.
    Patch(Patch),
}

/// How the mask of a patch is chosen (paper, Table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Patch {
    /// A new non-empty mask for every point.
    Random,
    /// The same non-empty mask for the whole image.
    Fixed,
}

/// How instances vary within a category (paper, "Weight of intra-category fractals").
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variation {
    /// Not at all.
    Identity,
    /// One parameter of every map is scaled by 1−2w, 1−w, 1+w or 1+2w: the authors' 25 rows.
    Grid(f64),
    /// One parameter of every map is scaled by a factor uniform in [1−2w, 1+2w].
    Continuous(f64),
}

/// surface/last.rs stores the number of a point in a u32, next to a position in its patch.
const MOST_POINTS: usize = 1 << 24;

/// The settings of an IFS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Style {
    /// Points per image.
    pub num_points: usize,
    /// How a point is drawn.
    pub draw: Draw,
    /// How instances vary within a category.
    pub variation: Variation,
    /// Empty pixels on each side of the points.
    pub margin: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            num_points: 200_000,
            draw: Draw::Patch(Patch::Random),
            variation: Variation::Grid(0.4),
            margin: 6,
        }
    }
}

/// The settings as Python and JSON write them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) num_points: usize,
    pub(super) draw: Kind,
    pub(super) patch: Patch,
    pub(super) variation: Option<f64>,
    pub(super) variation_kind: VariationKind,
    pub(super) margin: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Point,
    Patch,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum VariationKind {
    Grid,
    Continuous,
}

impl TryFrom<Settings> for Style {
    type Error = Error;

    fn try_from(settings: Settings) -> Result<Self, Error> {
        let Settings { num_points, draw, patch, variation, variation_kind, margin } = settings;
        let draw = match draw {
            Kind::Point => Draw::Point,
            Kind::Patch => Draw::Patch(patch),
        };
        let variation = match (variation, variation_kind) {
            (Some(w), _) if !(0.0..=1.0).contains(&w) => return Err(Error::Variation(w)),
            // At w = 0 every re-render would use the same maps.
            (None | Some(0.0), _) => Variation::Identity,
            (Some(w), VariationKind::Grid) => Variation::Grid(w),
            (Some(w), VariationKind::Continuous) => Variation::Continuous(w),
        };
        Ok(Self { num_points, draw, variation, margin })
    }
}

impl crate::formula::interface::Style for Style {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        if !(1..=MOST_POINTS).contains(&self.num_points) {
            return Err(Error::NumPoints(self.num_points));
        }
        if let Variation::Grid(w) | Variation::Continuous(w) = self.variation
            && !(w > 0.0 && w <= 1.0)
        {
            return Err(Error::Variation(w));
        }
        frame.check_margin(self.margin)
    }

    /// Keeps the points as dense as they were.
    fn scaled(&self, from: &Frame, to: &Frame) -> Self {
        let pixels = |frame: &Frame| (frame.height * frame.width) as f64;
        let num_points = (self.num_points as f64 * (pixels(to) / pixels(from))).round();
        let num_points = (num_points as usize).clamp(1, MOST_POINTS); // saturates
        Self { num_points, margin: to.scaled_margin(self.margin, from), ..self.clone() }
    }

    fn memory(&self, frame: &Frame) -> usize {
        8 * (frame.height * frame.width) + 16 * self.num_points
    }
}
