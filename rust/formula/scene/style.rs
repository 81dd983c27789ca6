//! The settings of a scene.

use serde::Deserialize;

use crate::error::Error;
use crate::formula::interface::Style;
use crate::frame::Frame;

/// The most objects of a scene.
const MAX_OBJECTS: u64 = 1000;

/// Settings for composing a scene.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneStyle {
    /// The fewest objects.
    pub min_objects: u64,
    /// The most objects.
    pub max_objects: u64,
    /// The smallest side of an object, relative to the shorter side of the image.
    pub min_scale: f64,
    /// The largest.
    pub max_scale: f64,
    /// The share of its side by which an object may extend beyond the border.
    pub overhang: f64,
    /// Which objects cover others.
    pub order: Order,
    /// The largest share of an object that may be covered; beyond it, the object is left out.
    pub max_covered: f64,
    /// The color of objects.
    pub object_color: ObjectColor,
    /// What is behind the objects; `None` means the backdrop family, or black without one.
    pub backdrop: Option<Backdrop>,
    /// The side at which all objects are rendered, relative to the shorter side of the image; they
    /// are then resized to their sides. `None` renders them at their sides.
    pub render_scale: Option<f64>,
    /// The probability of a 3×3 Gaussian blur, whose σ is uniform in 0.5..1.0.
    pub blur: f64,
}

/// Which objects cover others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The object of the scene's own category covers all others, whose order is random.
    OwnInFront,
    /// A random order.
    Random,
    /// Smaller ones cover larger ones.
    SmallInFront,
}

/// The color of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectColor {
    /// As the part renders them.
    Own,
    /// A random color for each object; a random gray in gray images.
    Random,
}

/// What is behind the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backdrop {
    /// 0
    Black,
    /// 255
    White,
    /// One dark or bright gray for each image.
    Gray,
    /// Perlin noise of a random frequency.
    Noise,
}

impl Default for SceneStyle {
    fn default() -> Self {
        Self {
            min_objects: 1,
            max_objects: 5,
            min_scale: 0.15,
            max_scale: 0.6,
            overhang: 0.5,
            order: Order::OwnInFront,
            max_covered: 0.9,
            object_color: ObjectColor::Own,
            backdrop: None,
            render_scale: None,
            blur: 0.0,
        }
    }
}

impl Style for SceneStyle {
    fn check(&self, _: &Frame) -> Result<(), Error> {
        let Self { min_objects, max_objects, min_scale, max_scale, overhang, max_covered, .. } = *self;
        let check = Error::unless;
        let fits = (1..=MAX_OBJECTS).contains(&min_objects);
        check(fits, "min_objects", "between 1 and 1000", min_objects as f64)?;
        let fits = (min_objects..=MAX_OBJECTS).contains(&max_objects);
        check(fits, "max_objects", "between min_objects and 1000", max_objects as f64)?;
        let is_scale = |scale: f64| scale > 0.0 && scale <= 1.0;
        check(is_scale(min_scale), "min_scale", "above 0 and at most 1", min_scale)?;
        check((min_scale..=1.0).contains(&max_scale), "max_scale", "between min_scale and 1", max_scale)?;
        check((0.0..=0.95).contains(&overhang), "overhang", "between 0 and 0.95", overhang)?;
        check((0.0..=1.0).contains(&max_covered), "max_covered", "between 0 and 1", max_covered)?;
        if let Some(scale) = self.render_scale {
            check(is_scale(scale), "render_scale", "above 0 and at most 1", scale)?;
        }
        check((0.0..=1.0).contains(&self.blur), "blur", "between 0 and 1", self.blur)
    }
}
