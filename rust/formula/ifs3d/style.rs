//! Settings for rendering a point cloud.

use serde::Deserialize;

use crate::error::Error;
use crate::formula::interface::Compat;
use crate::frame::Frame;

/// Where an image is seen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// One of twelve cameras around the cloud, selected by the index (MV-FractalDB).
    Fixed,
    /// One of 144: each of the twelve also moves about a second axis in twelve steps (3D-OFDB).
    TwoAxis,
    /// One of 1,728: each of those also moves about a third axis.
    ThreeAxis,
    /// A camera drawn uniformly on the sphere for each image (ExFractalDB).
    Random,
}

impl View {
    /// Returns the number of axes, each of which has twelve views.
    pub(super) fn axes(self) -> u32 {
        match self {
            Self::Fixed | Self::Random => 1,
            Self::TwoAxis => 2,
            Self::ThreeAxis => 3,
        }
    }
}

/// Settings for rendering a point cloud.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// Number of points; the released code keeps one fewer.
    pub num_points: usize,
    /// Side of the square that a point covers, in pixels.
    pub point_size: usize,
    /// Whether far points are darker, and near ones hide them.
    pub shade: bool,
    /// Where the images are seen from.
    pub view: View,
    /// How far a fixed view may turn to either side, in degrees.
    pub jitter: f64,
    /// The largest relative change of a coefficient; `None` leaves the maps unchanged.
    pub variation: Option<f64>,
    /// `None` follows this crate's rules.
    pub compat: Option<Compat>,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            num_points: 10_000,
            point_size: 1,
            shade: false,
            view: View::Fixed,
            jitter: std::f64::consts::PI, // degrees: the released code treats radians as degrees
            variation: Some(0.6),
            compat: None,
        }
    }
}

impl Style {
    /// Returns the variation, or `None` if it is 0.
    pub(super) fn varied(&self) -> Option<f64> {
        self.variation.filter(|&w| w > 0.0)
    }
}

impl crate::formula::interface::Style for Style {
    fn check(&self, _: &Frame) -> Result<(), Error> {
        let Self { num_points, point_size, jitter, .. } = *self;
        let fits = (2..=1 << 24).contains(&num_points);
        Error::unless(fits, "num_points", "between 2 and 16777216", num_points as f64)?;
        let fits = (1..=64).contains(&point_size);
        Error::unless(fits, "point_size", "between 1 and 64", point_size as f64)?;
        Error::unless((0.0..=180.0).contains(&jitter), "jitter", "between 0 and 180 degrees", jitter)?;
        let w = self.variation.unwrap_or(0.0);
        let accepted = "None or between 0 and 1 (the released code's is 0.6)";
        Error::unless((0.0..=1.0).contains(&w), "variation", accepted, w)
    }
}

impl Style {
    /// Returns the approximate number of bytes of scratch memory that an image takes.
    pub fn memory(&self, frame: &Frame) -> usize {
        let replay = if self.compat.is_some() { 32 } else { 0 }; // f64 points and draws
        let side = |pixels: usize| pixels + self.point_size;
        side(frame.height) * side(frame.width) + (12 + replay) * self.num_points
    }
}
