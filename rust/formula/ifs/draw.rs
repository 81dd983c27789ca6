//! One instance of a category, rendered.
//!
//! Scaling a parameter can make a system diverge or collapse: at a variation of 0.4 some 9% of the
//! images of the authors' program have under 1% of their pixels lit. By default such an image is
//! rendered again with another variation of the same address, so that every label has something
//! to see.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::ifs::orbit::{self, ORBIT};
use crate::formula::ifs::style::{Draw, Patch, Style, Variation};
use crate::formula::ifs::table::Table;
use crate::formula::ifs::vary::vary;
use crate::formula::ifs::{Ifs, Map};
use crate::formula::interface::{Formula, Outcome};
use crate::frame::Frame;
use crate::points::Points;
use crate::sample::Sample;
use crate::surface::{LastPoint, Mark, Masks, Single, lit};

/// Attempts with a variation of their own, before the category itself. Part of the format.
const VARIED: u8 = 9;
/// An image is degenerate when less than this share of what could be lit is lit. Part of the format.
const ENOUGH: f64 = 0.01;
/// The 3×3 masks.
pub(super) const PATCH: Purpose = Purpose(2);

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    pub(super) maps: Vec<Map>,
    pub(super) table: Table,
    pub(super) points: Points,
    pub(super) surface: LastPoint,
    pub(super) single: Single,
}

impl Formula for Ifs {
    const NAME: &'static str = "ifs";
    const PERIOD: u64 = super::vary::GRID;
    type Style = Style;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Self::of_arrays(parameters)
    }

    fn retries(style: &Style) -> u8 {
        retries(style)
    }

    fn draw(&self, at: At<'_>, style: &Style, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        let Scratch { maps, table, points, surface, single } = scratch;
        let Frame { height, width, color, .. } = *at.frame;
        let Style { num_points, margin, .. } = *style;
        table.lay(self.instance(at, style, |factor| factor, maps), &self.probabilities);
        let Some(bounds) = orbit::play(table, &mut at.rng(ORBIT), num_points, at.simd, points) else {
            return Outcome::Nothing;
        };
        let window = at.window();
        if style.draw == Draw::Point {
            single.draw(points, bounds, window, margin, color, at.simd, sample.image);
        } else {
            surface.plot(points, bounds, height, width, margin, at.simd);
            let mark = mark(style.draw, &mut at.rng(PATCH));
            surface.resolve(window, mark, color, at.simd, sample.image);
        }
        outcome(at, style, sample)
    }

    /// Renders anything finite of the category, in solid patches, with a point in the middle; of the
    /// instance itself where it may not be rendered again.
    fn draw_fallback(&self, at: At<'_>, style: &Style, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        let Scratch { maps, table, points, surface, .. } = scratch;
        let maps = if at.attempt == 0 { self.instance(at, style, |factor| factor, maps) } else { &self.maps };
        table.lay(maps, &self.probabilities);
        let bounds = orbit::play_tamed(table, &mut at.rng(ORBIT), style.num_points, points);
        surface.plot(points, bounds, at.frame.height, at.frame.width, style.margin, at.simd);

        let mut window = at.window();
        window.show(surface.newest_cell());
        let mark = if style.draw == Draw::Point { Mark::Pixel } else { Mark::SOLID };
        surface.resolve(window, mark, at.frame.color, at.simd, sample.image);
    }
}

impl Ifs {
    /// Returns the maps of an attempt: varied, or in the last one the category's own.
    pub(super) fn instance<'a>(
        &'a self,
        at: At<'_>,
        style: &Style,
        as_written: fn(f64) -> f64,
        varied: &'a mut Vec<Map>,
    ) -> &'a [Map] {
        if is_last(at, style) {
            return &self.maps;
        }
        vary(&self.maps, style.variation, at, as_written, varied);
        varied
    }
}

/// Returns how often a degenerate image is rendered again.
pub(super) fn retries(style: &Style) -> u8 {
    // Without a variation every attempt would try the same maps again.
    if style.variation == Variation::Identity { 0 } else { VARIED }
}

fn is_last(at: At<'_>, style: &Style) -> bool {
    at.attempt == u64::from(retries(style))
}

/// Judges an image by how much of it is lit; the category itself by whether anything is.
pub(super) fn outcome(at: At<'_>, style: &Style, sample: &Sample<'_>) -> Outcome {
    let lit = lit(sample.image, at.frame.color, at.simd);
    let (height, width) = at.frame.output_size();
    let enough = if is_last(at, style) {
        lit > 0
    } else {
        lit as f64 >= ENOUGH * style.num_points.min(height * width) as f64
    };
    if enough { Outcome::Shown } else { Outcome::Degenerate }
}

fn mark(draw: Draw, rng: &mut Rng) -> Mark<'static> {
    match draw {
        Draw::Point => Mark::Pixel,
        Draw::Patch(Patch::Random) => Mark::Patch(Masks::Random(rng.next_u64() as u32)), // any 32 bits
        Draw::Patch(Patch::Fixed) => Mark::Patch(Masks::Fixed(1 + rng.below(511) as u32)), // 1..=511
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::machine::Flag;
    use crate::render;
    use crate::simd::Simd;

    /// Small enough for Miri, which looks at every access to memory.
    #[test]
    fn a_small_image_is_the_same_on_every_path() {
        let map = |e| [0.5, 0.1, -0.2, 0.6, e, 0.3 - e];
        let few = Ifs { maps: vec![map(0.0), map(0.5), map(-0.4)], probabilities: vec![0.5, 0.25, 0.25] };
        let six = Ifs {
            maps: (0..6).map(|i| map(f64::from(i) / 10.0)).collect(),
            probabilities: vec![1.0 / 6.0; 6],
        };
        let gray = Frame { height: 16, width: 20, ..Frame::default() };
        let color = Frame { color: true, ..gray.clone() };
        let patch = Style { num_points: 150, margin: 1, ..Style::default() };
        let point = Style { draw: Draw::Point, ..patch.clone() };
        for (ifs, frame, style) in [(&few, &gray, &patch), (&six, &color, &point)] {
            let address = Address { seed: 1, category: 0, index: 7 };
            let draw = |simd| {
                let mut image = vec![0; frame.bytes()];
                let (flag, mut scratch) = (Flag::default(), Scratch::default());
                let at = At::new(address, frame, 1, simd, &flag);
                let mut sample = Sample { image: &mut image, objects: None };
                render::draw(ifs, at, style, &mut scratch, &mut sample);
                image
            };
            let plain = draw(Simd::PLAIN);
            assert!(Simd::available().into_iter().all(|simd| draw(simd) == plain));
        }
    }
}
