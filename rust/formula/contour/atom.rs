//! VisualAtom. A category fixes the first ring and two waves along all rings; instances differ in
//! their center and in the noise. The random numbers are ours; [`released`](super::released)
//! has the released code's.

use crate::address::{At, Purpose};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::contour::rings::{Polygon, Scratch, Start, UNIT, within};
use crate::formula::contour::style::ContourStyle;
use crate::formula::interface::{Formula, Ground, Outcome};
use crate::sample::Sample;

/// Center, grays and noise.
const ATOM: Purpose = Purpose(16);

/// One category.
#[derive(Clone, Debug, PartialEq)]
pub struct Atom {
    pub(super) polygon: Polygon,
    radius: f64,
    oval: [f64; 2],
}

impl Atom {
    /// Takes vertices (3…1000), rings (1…200), noise (0…16), step (0…16), two frequencies (0…100),
    /// radius (0…256) and oval (0…4, along x and y).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Number`] if a number is out of range, or if vertices, rings or a frequency are not
    /// whole.
    pub fn new([vertices, rings, noise, step, n1, n2, radius, x, y]: [f64; 9]) -> Result<Self, Error> {
        let polygon = Polygon::new([vertices, rings, noise, step], Some([n1, n2]))?;
        within("radius", "between 0 and 256", 0.0..=256.0, radius)?;
        for value in [x, y] {
            within("oval", "between 0 and 4", 0.0..=4.0, value)?;
        }
        Ok(Self { polygon, radius, oval: [x, y] })
    }

    fn start(&self, center: [f64; 2]) -> Start {
        Start { radius: self.radius, oval: self.oval, center }
    }
}

impl Formula for Atom {
    const NAME: &'static str = "visualatom";
    type Style = ContourStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        parameters.rows("atoms")?.iter().map(|&row| Self::new(row)).collect()
    }

    fn ground(&self, style: &ContourStyle) -> Ground {
        style.ground(&self.polygon)
    }

    /// Draws the rings; an image that shows none of them is degenerate.
    fn draw(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let mut rng = at.rng(ATOM);
        let mut coordinate = || (UNIT + rng.below(1025) as f64 - 512.0) / 2.0;
        let center = [coordinate(), coordinate()];
        let start = style.start(self.start(center));
        self.polygon.draw(at, style, start, &mut rng, scratch);
        self.polygon.show(at, style, scratch, sample)
    }

    fn draw_fallback(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) {
        self.polygon.draw_fallback(at, style, scratch, sample);
    }
}
