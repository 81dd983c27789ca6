//! RCDB. A category fixes the number of vertices and rings and how far noise moves them; instances
//! differ in their center, in the radius and oval of the first ring, and in the noise. The random numbers are
//! ours; [`released`](super::released) has the released code's.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::contour::rings::{Polygon, Scratch, Start, UNIT};
use crate::formula::contour::style::ContourStyle;
use crate::formula::interface::{Formula, Ground, Outcome};
use crate::sample::Sample;

/// Center, radius, oval, grays and noise.
const CONTOUR: Purpose = Purpose(14);

/// One category.
#[derive(Clone, Debug, PartialEq)]
pub struct Contour(pub(super) Polygon);

impl Contour {
    /// Takes vertices (3…1000), rings (1…200), noise (0…16) and step (0…16).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Number`] if a number is out of range, or if vertices or rings are not whole.
    pub fn new(parameters: [f64; 4]) -> Result<Self, Error> {
        Polygon::new(parameters, None).map(Self)
    }

    fn start(rng: &mut Rng) -> Start {
        let oval = [rng.between(1.0, 2.0), rng.between(1.0, 2.0)];
        let radius = rng.below(101) as f64;
        let mut coordinate = || (UNIT + rng.below(801) as f64 - 400.0) / 2.0;
        Start { oval, radius, center: [coordinate(), coordinate()] }
    }
}

impl Formula for Contour {
    const NAME: &'static str = "rcdb";
    type Style = ContourStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        parameters.rows("contours")?.iter().map(|&row| Self::new(row)).collect()
    }

    fn ground(&self, style: &ContourStyle) -> Ground {
        style.ground(&self.0)
    }

    /// Draws the rings; an image that shows none of them is degenerate.
    fn draw(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let mut rng = at.rng(CONTOUR);
        let start = style.start(Self::start(&mut rng));
        self.0.draw(at, style, start, &mut rng, scratch);
        self.0.show(at, style, scratch, sample)
    }

    fn draw_fallback(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) {
        self.0.draw_fallback(at, style, scratch, sample);
    }
}
