//! The part of the attractor that an image shows: enlarged, moved and transposed at random.

use crate::address::{At, Purpose};
use crate::error::Error;
use crate::points::{Bounds, Points};

/// Enlargement, position and transposition.
const VIEW: Purpose = Purpose(50);
/// The largest zoom. Beyond it, hardly a point remains.
const LARGEST_ZOOM: f64 = 16.0;

/// How much the window differs from the bounding box of the points. By default it does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Each side of the bounding box is scaled by a factor uniform in [1/zoom, zoom].
    pub zoom: f64,
    /// The center moves by a share uniform in [−shift, shift] of each side.
    pub shift: f64,
    /// Whether half of the images exchange x and y.
    pub transpose: bool,
}

impl Default for View {
    fn default() -> Self {
        Self { zoom: 1.0, shift: 0.0, transpose: false }
    }
}

impl View {
    /// Checks that the numbers are in range.
    pub(super) fn check(&self) -> Result<(), Error> {
        Error::unless((1.0..=LARGEST_ZOOM).contains(&self.zoom), "zoom", "between 1 and 16", self.zoom)?;
        Error::unless((0.0..=1.0).contains(&self.shift), "shift", "between 0 and 1", self.shift)
    }

    /// Returns whether every image shows all points.
    pub(super) fn is_whole(&self) -> bool {
        self.zoom == 1.0 && self.shift == 0.0
    }

    /// Transposes the points, drops those outside the window and returns the window.
    pub(super) fn apply(&self, at: At<'_>, points: &mut Points, bounds: Bounds) -> Bounds {
        if *self == Self::default() {
            return bounds;
        }
        let mut rng = at.rng(VIEW);
        let transpose = rng.below(2) == 1 && self.transpose;
        let mut window = bounds;
        for axis in 0..2 {
            let [low, high] = [bounds.min[axis], bounds.max[axis]].map(f64::from);
            let center = (low + high) / 2.0 + (high - low) * rng.between(-self.shift, self.shift);
            let half = (high - low) / 2.0 * rng.between(1.0 / self.zoom, self.zoom);
            (window.min[axis], window.max[axis]) = ((center - half) as f32, (center + half) as f32);
        }
        if self.is_whole() {
            window = bounds; // without the rounding
        } else {
            points.keep(window);
        }
        if transpose {
            std::mem::swap(&mut points.x, &mut points.y);
            window.min.reverse();
            window.max.reverse();
        }
        window
    }
}
