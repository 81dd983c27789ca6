//! What happens to a finished fractal: a background behind it, and a blur.

use serde::Deserialize;

use crate::address::{At, Purpose};
use crate::error::Error;
use crate::formula::diamond_square::{Colors, Heights, Over};
use crate::surface::Blur;
use crate::surface::blur::random_sigma;

/// The background: decay, heights and colors.
const BACKGROUND: Purpose = Purpose(52);
/// Whether an image is blurred, and how much.
const BLUR: Purpose = Purpose(53);

/// What lies behind the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Background {
    /// Diamond–square noise with random colors and a random decay in 0.4..0.8.
    DiamondSquare,
}

/// What happens to a finished image; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Finish {
    /// What shows where pixels are black; `None` leaves them black.
    pub background: Option<Background>,
    /// The probability of a 3×3 Gaussian blur, whose σ is uniform in 0.5..1.0.
    pub blur: f64,
}

/// Memory kept from image to image.
#[derive(Default)]
pub(super) struct Scratch {
    heights: Heights,
    blur: Blur,
}

impl Finish {
    pub(super) fn check(&self) -> Result<(), Error> {
        Error::unless((0.0..=1.0).contains(&self.blur), "blur", "between 0 and 1", self.blur)
    }

    /// Adds the background and the blur.
    pub(super) fn apply(&self, at: At<'_>, scratch: &mut Scratch, image: &mut [u8]) {
        let color = at.frame.color;
        if self.background == Some(Background::DiamondSquare) {
            let mut rng = at.rng(BACKGROUND);
            let decay = rng.between(0.4, 0.8);
            let colors = Colors::random(&mut rng);
            scratch.heights.fill_at(at, decay, &mut rng);
            scratch.heights.show(at.window(), colors, color, Over::Black, at.simd, image);
        }
        if self.blur > 0.0
            && let Some(sigma) = random_sigma(self.blur, &mut at.rng(BLUR))
        {
            let (_, width) = at.frame.output_size();
            scratch.blur.apply(image, width, at.frame.channels(), sigma, at.simd);
        }
    }
}
