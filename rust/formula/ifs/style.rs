//! The settings of an IFS.

use serde::Deserialize;

use crate::error::Error;
use crate::formula::diamond_square::Heights;
use crate::formula::ifs::finish::{Background, Finish};
use crate::formula::ifs::view::View;
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
    /// All nine pixels (the released code of 1p-frac can draw them).
    Solid,
}

/// What decides a pixel that several points cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shading {
    /// The last point, whose black pixels erase.
    #[default]
    Last,
    /// Any point: nothing erases. Gray images only.
    Any,
    /// The number of points, as a share of the largest number in the image: a gray, or a hue.
    Density,
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
    /// One map changes, unless it would expand.
    OneMap(Change, f64),
}

/// How one map changes ("Improving Fractal Pre-training").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// All of its parameters are scaled by the same factor uniform in [1−2w, 1+w].
    Scale,
    /// It is rotated, before or after its scaling, by an angle uniform in [−w, w], or its shifts e
    /// and f change by as much.
    Svd,
    /// Its matrix is scaled, so that the sum of s₁ + 2·s₂ over the n maps becomes a number uniform in
    /// [(5 + n)/2, (5 + n)/2 + w].
    Sval,
}

/// surface/last.rs stores the number of a point in a u32, next to a position in its patch.
const MAX_POINTS: usize = 1 << 24;

/// The settings of an IFS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Style {
    /// Points per image.
    pub num_points: usize,
    /// How a point is drawn.
    pub draw: Draw,
    /// What decides a pixel that several points cover.
    pub shading: Shading,
    /// How instances vary within a category.
    pub variation: Variation,
    /// Empty pixels on each side of the points.
    pub margin: usize,
    /// The part of the attractor that is shown.
    pub view: View,
    /// Background and blur.
    pub finish: Finish,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            num_points: 200_000,
            draw: Draw::Patch(Patch::Random),
            shading: Shading::Last,
            variation: Variation::Grid(0.4),
            margin: 6,
            view: View::default(),
            finish: Finish::default(),
        }
    }
}

/// The settings as Python and JSON write them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    num_points: usize,
    draw: Kind,
    patch: Patch,
    shading: Shading,
    variation: Option<f64>,
    variation_kind: VariationKind,
    margin: usize,
    zoom: f64,
    shift: f64,
    transpose: bool,
    background: Option<Background>,
    blur: f64,
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
    Map,
    Svd,
    Sval,
}

impl TryFrom<Settings> for Style {
    type Error = Error;

    fn try_from(settings: Settings) -> Result<Self, Error> {
        let Settings { num_points, draw, patch, variation, variation_kind, margin, .. } = settings;
        Ok(Self {
            num_points,
            draw: draw.with(patch),
            shading: settings.shading,
            variation: variation_kind.with(variation)?,
            margin,
            view: View { zoom: settings.zoom, shift: settings.shift, transpose: settings.transpose },
            finish: Finish { background: settings.background, blur: settings.blur },
        })
    }
}

impl Kind {
    pub(super) fn with(self, patch: Patch) -> Draw {
        match self {
            Self::Point => Draw::Point,
            Self::Patch => Draw::Patch(patch),
        }
    }
}

impl VariationKind {
    pub(super) fn with(self, variation: Option<f64>) -> Result<Variation, Error> {
        Ok(match (variation, self) {
            (Some(w), _) if !(0.0..=1.0).contains(&w) => return Err(refused(w)),
            // At w = 0 every re-render would use the same maps.
            (None | Some(0.0), _) => Variation::Identity,
            (Some(w), Self::Grid) => Variation::Grid(w),
            (Some(w), Self::Continuous) => Variation::Continuous(w),
            (Some(w), Self::Map) => Variation::OneMap(Change::Scale, w),
            (Some(w), Self::Svd) => Variation::OneMap(Change::Svd, w),
            (Some(w), Self::Sval) => Variation::OneMap(Change::Sval, w),
        })
    }
}

fn refused(variation: f64) -> Error {
    let accepted = "None or between 0 and 1 (best in the paper: 0.4)";
    Error::Number { name: "variation", accepted, given: variation }
}

impl crate::formula::interface::Style for Style {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        let fits = (1..=MAX_POINTS).contains(&self.num_points);
        Error::unless(fits, "num_points", "between 1 and 16777216", self.num_points as f64)?;
        if let Variation::Grid(w) | Variation::Continuous(w) | Variation::OneMap(_, w) = self.variation
            && !(w > 0.0 && w <= 1.0)
        {
            return Err(refused(w));
        }
        if self.shading == Shading::Any && frame.color {
            let accepted = "'last' or 'density' with color=True";
            return Err(Error::Choice { name: "shading", accepted, given: "any".to_owned() });
        }
        self.view.check()?;
        self.finish.check()?;
        frame.check_margin(self.margin)
    }

    /// Keeps the points as dense as they were.
    fn scaled(&self, from: &Frame, to: &Frame) -> Self {
        let pixels = |frame: &Frame| (frame.height * frame.width) as f64;
        let num_points = (self.num_points as f64 * (pixels(to) / pixels(from))).round();
        let num_points = (num_points as usize).clamp(1, MAX_POINTS); // saturates
        Self { num_points, margin: to.scaled_margin(self.margin, from), ..self.clone() }
    }
}

impl Style {
    /// Returns the approximate number of bytes of scratch memory that an image takes.
    pub fn memory(&self, frame: &Frame) -> usize {
        let of_background = if self.finish.background.is_some() { Heights::memory(frame) } else { 0 };
        // A blur keeps two bytes for each byte of the image.
        let of_blur = if self.finish.blur > 0.0 { 2 * frame.bytes() } else { 0 };
        8 * (frame.height * frame.width) + 16 * self.num_points + of_background + of_blur
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::interface::Style as _;

    #[test]
    fn a_smaller_image_has_fewer_points_and_a_smaller_margin() {
        let frame = |side| Frame { height: side, width: side, ..Frame::default() };
        let style = Style { num_points: 100_000, margin: 6, ..Style::default() };
        let scaled = style.scaled(&frame(256), &frame(64));
        assert_eq!((scaled.num_points, scaled.margin), (6250, 1));
    }
}
