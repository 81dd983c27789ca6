//! The authors' released program (MIT license, AIST), replayed: its categories number for
//! number, its images byte for byte. Nothing here is its code; the rules were read off it.
//!
//! What it does otherwise than the rest of this crate: one orbit in f64 from the origin, the
//! same random numbers for every image, its own way with orbits that leave the finite numbers,
//! and patches one pixel further down and right. Flips and colors are the same.

mod mersenne;
mod orbit;
pub(super) mod search;

use serde::Deserialize;

use crate::address::At;
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::ifs::draw::{self, PATCH};
use crate::formula::ifs::style::{self, Draw, Kind, Patch, Style, VariationKind};
use crate::formula::ifs::{Ifs, Map};
use crate::formula::interface::{Formula, Outcome};
use crate::frame::Frame;
use crate::sample::Sample;
use crate::simd::Simd;
use crate::surface::{LastPoint, Mark, Masks};
use mersenne::Mersenne;

pub(crate) use orbit::Orbit;

/// The program says `seed(100)` before every image.
const ORBIT_SEED: u32 = 100;

/// A category, rendered as the program does.
#[derive(Clone, Debug)]
pub struct Released(pub Ifs);

/// What a replay obeys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct ReleasedStyle {
    /// How the points become an image.
    pub points: Style,
    /// What the program's Python gives `random.seed` before every image; `None` takes it from
    /// the address. (The program leaves it to chance.)
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
        let points = style::Settings { num_points, draw, patch, variation, variation_kind, margin };
        Ok(Self { points: points.try_into()?, mask_seed })
    }
}

impl crate::formula::interface::Style for ReleasedStyle {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        self.points.check(frame)
    }

    fn memory(&self, frame: &Frame) -> usize {
        // Coordinates in f64, draws, cells and masks.
        self.points.memory(frame) + 30 * self.points.num_points
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    replay: Replay,
    surface: LastPoint,
    maps: Vec<Map>,
    /// For what shows whatever the parameters: the program has nothing of the kind.
    fallback: draw::Scratch,
}

impl Formula for Released {
    const NAME: &'static str = "released";
    const PERIOD: u64 = Ifs::PERIOD;
    type Style = ReleasedStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Ok(Ifs::of_arrays(parameters)?.into_iter().map(Self).collect())
    }

    fn retries(style: &ReleasedStyle) -> u8 {
        draw::retries(&style.points)
    }

    fn draw(
        &self,
        at: At<'_>,
        style: &ReleasedStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let Scratch { replay, surface, maps, .. } = scratch;
        let maps = self.0.instance(at, &style.points, as_written, maps);
        let mark = replay.plot(maps, self.0.probabilities(), at, style, surface);
        surface.resolve(at.window(), mark, at.frame.color, at.simd, sample.image);
        draw::outcome(at, &style.points, sample)
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

/// The authors' files say 0.2 where 1 − 2·0.4 is 0.19999999999999996.
fn as_written(factor: f64) -> f64 {
    (factor * 1e9).round() / 1e9
}

/// What replaying needs; kept from image to image. The authors' data set has forty images in a
/// row that share their points, and four of those their masks: who renders it in order plays one
/// orbit for forty images, and takes a third of the time.
#[derive(Default)]
pub(crate) struct Replay {
    /// The random numbers of every image, as many as the longest needed.
    draws: Vec<f64>,
    orbit: Orbit,
    /// Everything that the orbit depends on; empty when it belongs to nothing.
    orbit_of: Vec<u64>,
    masks: Vec<u16>,
    /// The seed of the masks.
    masks_of: Option<u64>,
}

impl Replay {
    /// Lets the points of one image fall on the surface, and returns what they leave there.
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
        // The patch's top left corner stands one to the right of the point and one below it.
        let (aside, mark) = match style.points.draw {
            Draw::Point => (0, Mark::Pixel),
            Draw::Patch(patch) => {
                let seed = style.mask_seed.unwrap_or_else(|| at.rng(PATCH).next_u64());
                let points = self.orbit.points();
                (2, Mark::Patch(draw_masks(patch, seed, points, &mut self.masks, &mut self.masks_of)))
            }
        };
        let mut pen = surface.pen(height, width);
        self.orbit.cells().for_each(|(row, column)| pen.point(row + aside, column + aside));
        mark
    }

    /// Plays the orbit, unless it was the last one played.
    fn play(&mut self, maps: &[Map], probabilities: &[f64], frame: &Frame, style: &Style, simd: Simd) {
        let Frame { height, width, .. } = *frame;
        let Style { num_points, margin, .. } = *style;
        let sizes = [height, width, num_points, margin, maps.len()].map(|size| size as u64);
        let numbers = maps.iter().flatten().chain(probabilities).map(|number| number.to_bits());
        let orbit_of: Vec<u64> = sizes.into_iter().chain(numbers).collect();
        if self.orbit_of == orbit_of {
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
        self.orbit_of = orbit_of;
    }
}

/// Draws the masks of so many points, unless they are there; `masks_of` is the seed of those there.
fn draw_masks<'a>(
    patch: Patch,
    seed: u64,
    points: usize,
    masks: &'a mut Vec<u16>,
    masks_of: &mut Option<u64>,
) -> Masks<'a> {
    let mut python = Mersenne::python(seed);
    if patch == Patch::Fixed {
        // A line of the program that is commented out; the paper's "fix".
        return Masks::Fixed(u32::from(python.mask()));
    }
    if *masks_of != Some(seed) || masks.len() < points {
        masks.clear();
        masks.extend((0..points).map(|_| python.mask()));
        *masks_of = Some(seed);
    }
    Masks::Listed(masks)
}
