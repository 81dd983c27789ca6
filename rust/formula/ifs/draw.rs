//! One instance of a category, drawn; and drawn again when it failed.
//!
//! Scaling a parameter can make a system diverge or collapse: at weights 0.4 some 9 % of
//! the pictures of the authors' program have under 1 % of their pixels lit. By default
//! such a picture is drawn again with other weights of the same address, so that every
//! label has something to see.

use crate::address::{Address, Purpose, Rng};
use crate::canvas::{Masks, lit};
use crate::formula::ifs::orbit;
use crate::formula::ifs::vary::vary;
use crate::formula::ifs::{Ifs, Map};
use crate::formula::{Formula, Scratch};
use crate::machine::Watch;
use crate::rendering::{Draw, Patch, Rendering, Sampler, Weights};
use crate::window::{Window, unmirrored};

/// Redraws with other weights, before the category itself. Part of the format.
const REDRAWS: u64 = 8;
/// A picture failed when less than this share of what could be lit is lit. Part of the format.
const ENOUGH: f64 = 0.01;

impl Formula for Ifs {
    /// Draws the instance; if it failed, up to eight others; if they failed, the category
    /// unscaled; and if that is black too, whatever keeps it from being so.
    fn draw(
        &self,
        address: Address,
        rendering: &Rendering,
        scratch: &mut Scratch,
        watch: &dyn Watch,
        pixels: &mut [u8],
    ) -> u8 {
        let mut maps = std::mem::take(&mut scratch.maps);
        let shared = unmirrored(address, rendering);
        let redraws = Picture { ifs: self, address, shared, rendering, scratch, watch, pixels }
            .draw_until_it_shows(&mut maps);
        scratch.maps = maps;
        redraws
    }
}

/// One picture in the making.
struct Picture<'a> {
    ifs: &'a Ifs,
    address: Address,
    /// The address whose streams its mirror images share.
    shared: Address,
    rendering: &'a Rendering,
    scratch: &'a mut Scratch,
    watch: &'a dyn Watch,
    pixels: &'a mut [u8],
}

impl Picture<'_> {
    /// Returns how often it was drawn again.
    fn draw_until_it_shows(&mut self, maps: &mut Vec<Map>) -> u8 {
        let Self { ifs, shared, rendering, .. } = *self;
        if !rendering.redraw {
            vary(&ifs.maps, rendering, shared, 0, maps);
            if self.draw(maps, 0).is_none() {
                self.draw_at_any_rate(maps, 0);
            }
            return 0;
        }
        let (height, width) = rendering.output_size();
        let enough = ENOUGH * rendering.points.min(height * width) as f64;
        // Without weights every redraw would try the same maps again.
        let varied = if rendering.weights == Weights::Identity { 0 } else { REDRAWS + 1 };
        for attempt in 0..varied {
            vary(&ifs.maps, rendering, shared, attempt, maps);
            if self.draw(maps, attempt).is_some_and(|lit| lit as f64 >= enough) || self.watch.stopped() {
                return attempt as u8; // at most REDRAWS
            }
        }
        if self.draw(&ifs.maps, varied).is_some_and(|lit| lit > 0) {
            return varied as u8;
        }
        self.draw_at_any_rate(&ifs.maps, varied + 1);
        varied as u8 + 1
    }

    /// Draws `maps` and returns how many pixels are lit, or `None` if an orbit escaped.
    fn draw(&mut self, maps: &[Map], attempt: u64) -> Option<usize> {
        let Scratch { simd, table, dots, canvas, single, replay, .. } = &mut *self.scratch;
        let Rendering { height, width, points, pad, sampler, .. } = *self.rendering;
        let probabilities = &self.ifs.probabilities;
        let window = Window::of(self.address, attempt, self.rendering);
        let mut patches = self.shared.rng(Purpose::Patch, attempt);
        let masks = match sampler {
            Sampler::Fdsl => {
                table.lay(maps, probabilities);
                let mut rng = self.shared.rng(Purpose::Orbit, attempt);
                let bounds = orbit::play(table, &mut rng, points, *simd, dots)?;
                if self.rendering.draw == Draw::Point {
                    single.draw(dots, bounds, window, self.rendering, *simd, self.pixels);
                    return Some(lit(self.pixels, self.rendering, *simd));
                }
                canvas.plot(dots, bounds, height, width, pad, *simd);
                masks(self.rendering, &mut patches)
            }
            Sampler::Released => {
                replay.plot(maps, probabilities, self.rendering, &mut patches, *simd, canvas)
            }
        };
        canvas.resolve(window, self.rendering, masks, *simd, self.pixels);
        Some(lit(self.pixels, self.rendering, *simd))
    }

    /// Draws anything finite of `maps`, in solid patches, with a dot in the middle.
    fn draw_at_any_rate(&mut self, maps: &[Map], attempt: u64) {
        let Scratch { simd, table, dots, canvas, .. } = &mut *self.scratch;
        table.lay(maps, &self.ifs.probabilities);
        let mut rng = self.shared.rng(Purpose::Orbit, attempt);
        let bounds = orbit::play_tamed(table, &mut rng, self.rendering.points, dots);
        let Rendering { height, width, pad, .. } = *self.rendering;
        canvas.plot(dots, bounds, height, width, pad, *simd);

        let mut window = Window::of(self.address, attempt, self.rendering);
        window.show(canvas.newest_cell(), self.rendering);
        canvas.resolve(window, self.rendering, Masks::SOLID, *simd, self.pixels);
    }
}

fn masks(rendering: &Rendering, rng: &mut Rng) -> Masks<'static> {
    match rendering.draw {
        Draw::Point => Masks::SOLID,
        Draw::Patch(Patch::Random) => Masks::Random(rng.next_u64() as u32), // any 32 bits
        Draw::Patch(Patch::Fixed) => Masks::Fixed(1 + rng.below(511) as u32), // 1..=511
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Flag;
    use crate::simd::Simd;

    /// Small enough for Miri, which looks at every access to memory.
    #[test]
    fn a_small_picture_is_the_same_on_every_path() {
        let map = |e| [0.5, 0.1, -0.2, 0.6, e, 0.3 - e];
        let few = Ifs { maps: vec![map(0.0), map(0.5), map(-0.4)], probabilities: vec![0.5, 0.25, 0.25] };
        let six = Ifs {
            maps: (0..6).map(|i| map(f64::from(i) / 10.0)).collect(),
            probabilities: vec![1.0 / 6.0; 6],
        };
        let small = Rendering { height: 16, width: 20, points: 150, pad: 1, ..Default::default() };
        let point = Rendering { draw: Draw::Point, color: true, ..small.clone() };
        for (ifs, rendering) in [(&few, &small), (&six, &point)] {
            let address = Address { seed: 1, category: 0, index: 7 };
            let draw = |simd| {
                let mut pixels = vec![0; rendering.bytes()];
                ifs.draw(address, rendering, &mut Scratch::new(simd), &Flag::default(), &mut pixels);
                pixels
            };
            let plain = draw(Simd::PLAIN);
            assert!(Simd::available().into_iter().all(|simd| draw(simd) == plain));
        }
    }
}
