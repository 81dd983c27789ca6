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

/// What replaying needs; kept from picture to picture.
#[derive(Default)]
pub(crate) struct Replay {
    /// The draws of every picture, as many as the longest needed.
    draws: Vec<f64>,
    pub(crate) orbit: Orbit,
    masks: Vec<u16>,
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
        let Rendering { height, width, points, pad, mask_seed, .. } = *rendering;
        if self.draws.len() < points {
            self.draws.resize(points, 0.0);
            Mersenne::numpy(ORBIT_SEED).units(&mut self.draws);
        }
        let draws = &self.draws;
        self.orbit.play(maps, probabilities, points, simd, |from, chunk| {
            chunk.copy_from_slice(&draws[from..][..chunk.len()]);
        });
        self.orbit.rescale(height, width, pad, simd);

        // The patch's top left corner stands one to the right of the dot and one below it.
        let (aside, masks) = match rendering.draw {
            Draw::Point => (0, Masks::SOLID),
            Draw::Patch(patch) => {
                let mut python = Mersenne::python(mask_seed.unwrap_or_else(|| patches.next_u64()));
                (2, self.orbit.draw_masks(patch, &mut python, &mut self.masks))
            }
        };
        let mut pen = canvas.pen(height, width);
        self.orbit.cells().for_each(|(row, column)| pen.dot(row + aside, column + aside));
        masks
    }
}

impl Orbit {
    fn draw_masks<'a>(&self, patch: Patch, python: &mut Mersenne, masks: &'a mut Vec<u16>) -> Masks<'a> {
        match patch {
            // A line of the program that is commented out; the paper's "fix".
            Patch::Fixed => Masks::Fixed(u32::from(python.mask())),
            Patch::Random => {
                masks.clear();
                masks.extend(self.cells().map(|_| python.mask()));
                Masks::Listed(masks)
            }
        }
    }
}
