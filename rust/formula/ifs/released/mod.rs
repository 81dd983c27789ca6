//! A replay of the authors' released code (MIT license, AIST): the same categories bit for bit,
//! the same images byte for byte. This is a new implementation of its rules; none of its code is used.
//!
//! It differs from the rest of this crate in four ways: it plays a single f64 orbit from the origin,
//! it uses the same random numbers for every image, it handles NaN and infinity in its own way, and
//! its patches lie two pixels to the right of their points and two above them, in an image that is not
//! flipped. Flips and colors are the same.

pub(super) mod measure;
mod orbit;

use serde::Deserialize;

use crate::address::At;
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::ifs::draw::{self, PATCH};
use crate::formula::ifs::style::{Draw, Kind, Patch, Style, VariationKind};
use crate::formula::ifs::{Ifs, Map};
use crate::formula::interface::{Formula, Outcome};
use crate::frame::Frame;
use crate::mersenne::Mersenne;
use crate::sample::Sample;
use crate::simd::Simd;
use crate::surface::{LastPoint, Mark, Masks, Pen, lit};

pub(crate) use orbit::Orbit;

/// The released code calls `np.random.seed(100)` before every image.
const ORBIT_SEED: u32 = 100;

/// Patches of the released code start one column to the right of their point and one row above it,
/// so their centers are two columns and two rows away. (Rows of the surface count from the bottom.)
const PATCH_SHIFT: usize = 2;

/// A category, rendered as the released code does.
#[derive(Clone, Debug)]
pub struct Released(pub Ifs);

/// The settings of a replay.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct ReleasedStyle {
    /// The settings shared with other IFS.
    pub points: Style,
    /// The seed of Python's `random`, set before every image; `None` derives it from the address.
    /// (The released code does not seed it.)
    pub mask_seed: Option<u64>,
}

/// The settings as Python and JSON write them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    num_points: usize,
    draw: Kind,
    patch: Patch,
    variation: Option<f64>,
    variation_kind: VariationKind,
    margin: usize,
    mask_seed: Option<u64>,
}

impl TryFrom<Settings> for ReleasedStyle {
    type Error = Error;

    fn try_from(settings: Settings) -> Result<Self, Error> {
        let Settings { num_points, draw, patch, variation, variation_kind, margin, mask_seed } = settings;
        let (draw, variation) = (draw.with(patch), variation_kind.with(variation)?);
        Ok(Self { points: Style { num_points, draw, variation, margin, ..Style::default() }, mask_seed })
    }
}

impl crate::formula::interface::Style for ReleasedStyle {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        self.points.check(frame)
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    replay: Replay,
    surface: LastPoint,
    maps: Vec<Map>,
    /// The fallback image is drawn by [`Ifs`]; the released code has none.
    fallback: draw::Scratch,
}

impl Formula for Released {
    const NAME: &'static str = "released";
    const PART: bool = false;
    const PERIOD: u64 = Ifs::PERIOD;
    type Style = ReleasedStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Ok(Ifs::from_arrays(parameters)?.into_iter().map(Self).collect())
    }

    fn retries(style: &ReleasedStyle) -> u8 {
        draw::retries(&style.points)
    }

    fn memory(&self, style: &ReleasedStyle, frame: &Frame) -> usize {
        // f64 coordinates, random numbers, cells and masks.
        style.points.memory(frame) + 30 * style.points.num_points
    }

    fn draw(
        &self,
        at: At<'_>,
        style: &ReleasedStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let Scratch { replay, surface, maps, .. } = scratch;
        let (maps, _) = self.0.instance(at, &style.points, round_as_released, maps);
        let mark = replay.plot(maps, self.0.probabilities(), at, style, surface);
        surface.resolve(at.window(), mark, at.frame.color, at.simd, sample.image);
        draw::outcome(at, &style.points, lit(sample.image, at.frame.color, at.simd))
    }

    fn draw_fallback(
        &self,
        at: At<'_>,
        style: &ReleasedStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) {
        self.0.draw_fallback(at, &style.points, &mut scratch.fallback, sample);
    }
}

/// Rounds a factor to the value in the authors' files: 0.2, where 1 − 2·0.4 is 0.19999999999999996.
fn round_as_released(factor: f64) -> f64 {
    (factor * 1e9).round() / 1e9
}

/// A cache of the last orbit and masks. In the authors' data set, forty consecutive images share an
/// orbit, and four of them share their masks. Rendering it in order therefore plays one orbit per
/// forty images, in a third of the time.
#[derive(Default)]
pub(crate) struct Replay {
    /// The random numbers shared by all images, extended whenever an image needs more.
    draws: Vec<f64>,
    orbit: Orbit,
    /// Everything `orbit` depends on; empty if there is no orbit yet.
    orbit_key: Vec<u64>,
    masks: Vec<u16>,
    /// The seed of `masks`.
    masks_seed: Option<u64>,
}

impl Replay {
    /// Plots the points of one image on the surface and returns how they are drawn.
    fn plot(
        &mut self,
        maps: &[Map],
        probabilities: &[f64],
        at: At<'_>,
        style: &ReleasedStyle,
        surface: &mut LastPoint,
    ) -> Mark<'_> {
        let Frame { height, width, .. } = *at.frame;
        self.play(maps, probabilities, at.frame, &style.points, at.simd);
        match style.points.draw {
            Draw::Point => {
                self.place(surface.pen(height, width), 0);
                Mark::Pixel
            }
            Draw::Patch(patch) => {
                let seed = style.mask_seed.unwrap_or_else(|| at.rng(PATCH).next_u64());
                let points = self.orbit.points();
                self.place(surface.pen(height, width), PATCH_SHIFT);
                Mark::Patch(draw_masks(patch, seed, points, &mut self.masks, &mut self.masks_seed))
            }
        }
    }

    /// Puts the points of the orbit on the surface.
    fn place(&self, mut pen: Pen<'_>, shift: usize) {
        self.orbit.cells().for_each(|(row, column)| pen.point(row + shift, column + shift));
    }

    /// Puts the points of one orbit on the surface of a square image for masks that are given.
    #[cfg(feature = "python")]
    pub(crate) fn plot_for_masks(
        &mut self,
        ifs: &Ifs,
        frame: &Frame,
        style: &Style,
        simd: Simd,
        surface: &mut LastPoint,
    ) {
        self.play(ifs.maps(), ifs.probabilities(), frame, style, simd);
        self.place(surface.pen(frame.height, frame.width), PATCH_SHIFT);
    }

    /// Plays the orbit, unless it is the cached one.
    fn play(&mut self, maps: &[Map], probabilities: &[f64], frame: &Frame, style: &Style, simd: Simd) {
        let Frame { height, width, .. } = *frame;
        let Style { num_points, margin, .. } = *style;
        let sizes = [height, width, num_points, margin, maps.len()].map(|size| size as u64);
        let numbers = maps.iter().flatten().chain(probabilities).map(|number| number.to_bits());
        let orbit_key: Vec<u64> = sizes.into_iter().chain(numbers).collect();
        if self.orbit_key == orbit_key {
            return;
        }
        if self.draws.len() < num_points {
            self.draws.resize(num_points, 0.0);
            Mersenne::numpy(ORBIT_SEED).units(&mut self.draws);
        }
        let draws = &self.draws;
        self.orbit.play(maps, probabilities, num_points, simd, |from, chunk| {
            chunk.copy_from_slice(&draws[from..][..chunk.len()]);
        });
        self.orbit.rescale(height, width, margin, simd);
        self.orbit_key = orbit_key;
    }
}

/// Draws the masks of `points` points, unless `masks` already holds them; `masks_seed` is the seed of
/// the masks it holds.
fn draw_masks<'a>(
    patch: Patch,
    seed: u64,
    points: usize,
    masks: &'a mut Vec<u16>,
    masks_seed: &mut Option<u64>,
) -> Masks<'a> {
    let mut python = Mersenne::python(seed);
    match patch {
        Patch::Random => {}
        // The paper's "fix"; the line is commented out in the released code.
        Patch::Fixed => return Masks::Fixed(u32::from(python.mask())),
        Patch::Solid => return Masks::SOLID,
    }
    if *masks_seed != Some(seed) || masks.len() < points {
        masks.clear();
        masks.extend((0..points).map(|_| python.mask()));
        *masks_seed = Some(seed);
    }
    Masks::Listed(masks)
}
