//! The authors' released program (MIT licence, AIST), replayed: its categories number for
//! number, its pictures byte for byte. Nothing here is its code; the rules were read off it.
//!
//! What it does otherwise than the rest of this crate: one orbit in f64 from the origin, the
//! same draws for every picture, its own way with orbits that leave the finite numbers, and
//! patches one pixel further down and right. Mirrorings and colours are the same.

mod orbit;
pub(super) mod search;

use crate::address::Rng;
use crate::canvas::{Canvas, Masks};
use crate::formula::ifs::Map;
use crate::mersenne::Mersenne;
use crate::rendering::{Draw, Patch, Rendering};
use crate::simd::Simd;

pub(crate) use orbit::Orbit;

/// The program says `seed(100)` before every picture.
const ORBIT_SEED: u32 = 100;

/// What replaying needs; kept from picture to picture. The authors' data set has forty pictures in a
/// row that share their dots, and four of those their masks: who draws it in order plays one orbit
/// for forty pictures, and takes a third of the time.
#[derive(Default)]
pub(crate) struct Replay {
    /// The draws of every picture, as many as the longest needed.
    draws: Vec<f64>,
    orbit: Orbit,
    /// Everything that the orbit depends on; empty when it belongs to nothing.
    orbit_of: Vec<u64>,
    masks: Vec<u16>,
    /// The seed of the masks.
    masks_of: Option<u64>,
}

impl Replay {
    /// Lets the dots of one picture fall on the canvas, and returns their masks. `patches` is
    /// the stream that the masks are seeded from.
    pub(crate) fn plot(
        &mut self,
        maps: &[Map],
        probabilities: &[f64],
        rendering: &Rendering,
        patches: &mut Rng,
        simd: Simd,
        canvas: &mut Canvas,
    ) -> Masks<'_> {
        let Rendering { height, width, mask_seed, .. } = *rendering;
        self.play(maps, probabilities, rendering, simd);
        // The patch's top left corner stands one to the right of the dot and one below it.
        let (aside, masks) = match rendering.draw {
            Draw::Point => (0, Masks::SOLID),
            Draw::Patch(patch) => {
                let seed = mask_seed.unwrap_or_else(|| patches.next_u64());
                (2, draw_masks(patch, seed, self.orbit.dots(), &mut self.masks, &mut self.masks_of))
            }
        };
        let mut pen = canvas.pen(height, width);
        self.orbit.cells().for_each(|(row, column)| pen.dot(row + aside, column + aside));
        masks
    }

    /// Plays the orbit, unless it was the last one played.
    fn play(&mut self, maps: &[Map], probabilities: &[f64], rendering: &Rendering, simd: Simd) {
        let Rendering { height, width, points, pad, .. } = *rendering;
        let sizes = [height, width, points, pad, maps.len()].map(|size| size as u64);
        let numbers = maps.iter().flatten().chain(probabilities).map(|number| number.to_bits());
        let orbit_of: Vec<u64> = sizes.into_iter().chain(numbers).collect();
        if self.orbit_of == orbit_of {
            return;
        }
        if self.draws.len() < points {
            self.draws.resize(points, 0.0);
            Mersenne::numpy(ORBIT_SEED).units(&mut self.draws);
        }
        let draws = &self.draws;
        self.orbit.play(maps, probabilities, points, simd, |from, chunk| {
            chunk.copy_from_slice(&draws[from..][..chunk.len()]);
        });
        self.orbit.rescale(height, width, pad, simd);
        self.orbit_of = orbit_of;
    }

    /// Lends the orbit to somebody else, after whom it belongs to nothing.
    pub(crate) fn free_orbit(&mut self) -> &mut Orbit {
        self.orbit_of.clear();
        &mut self.orbit
    }
}

/// Draws the masks of so many dots, unless they are there; `masks_of` is the seed of those there.
fn draw_masks<'a>(
    patch: Patch,
    seed: u64,
    dots: usize,
    masks: &'a mut Vec<u16>,
    masks_of: &mut Option<u64>,
) -> Masks<'a> {
    let mut python = Mersenne::python(seed);
    if patch == Patch::Fixed {
        // A line of the program that is commented out; the paper's "fix".
        return Masks::Fixed(u32::from(python.mask()));
    }
    if *masks_of != Some(seed) || masks.len() < dots {
        masks.clear();
        masks.extend((0..dots).map(|_| python.mask()));
        *masks_of = Some(seed);
    }
    Masks::Listed(masks)
}
