//! Rendering of one instance of a category.
//!
//! Scaling a parameter can make a system diverge or collapse: at a variation of 0.4, about 9% of
//! the images of the authors' code have less than 1% of their pixels lit. By default such an
//! image is re-rendered with another variation drawn from the same address, so every image shows
//! something.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::ifs::finish;
use crate::formula::ifs::orbit::{self, ORBIT};
use crate::formula::ifs::style::{Draw, Patch, Shading, Style, Variation};
use crate::formula::ifs::table::Table;
use crate::formula::ifs::vary::{Changed, vary};
use crate::formula::ifs::{Ifs, Map, fixed_point};
use crate::formula::interface::{Formula, Outcome};
use crate::frame::Frame;
use crate::points::Points;
use crate::sample::Sample;
use crate::surface::{Density, LastPoint, Mark, Masks, Single, Tone, hsv, lit};

/// Attempts with a variation, after which the category itself is tried. Part of the format.
const VARIED_ATTEMPTS: u8 = 9;
/// An image is degenerate if it has fewer lit pixels than this share of its pixels or of its points,
/// whichever are fewer. Part of the format.
const MIN_LIT_SHARE: f64 = 0.01;
/// The masks of the 3×3 patches.
pub(super) const PATCH: Purpose = Purpose(2);
/// Hue, saturation and value of a density.
const COLOR: Purpose = Purpose(51);

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    pub(super) maps: Vec<Map>,
    pub(super) table: Table,
    pub(super) points: Points,
    pub(super) surface: LastPoint,
    pub(super) single: Single,
    density: Density,
    weights: Vec<f64>,
    finish: finish::Scratch,
}

impl Formula for Ifs {
    const NAME: &'static str = "ifs";
    const PERIOD: u64 = super::vary::GRID;
    type Style = Style;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Self::from_arrays(parameters)
    }

    fn retries(style: &Style) -> u8 {
        retries(style)
    }

    fn memory(&self, style: &Style, frame: &Frame) -> usize {
        style.memory(frame)
    }

    fn draw(&self, at: At<'_>, style: &Style, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        let Scratch { maps, table, points, surface, single, density, weights, finish } = scratch;
        let Frame { height, width, color, .. } = *at.frame;
        let Style { num_points, margin, .. } = *style;
        let (maps, changed) = self.instance(at, style, |factor| factor, maps);
        let probabilities: &[f64] = match changed {
            Some(changed) => changed.weigh(self.probabilities(), weights),
            None => self.probabilities(),
        };
        table.build(maps, probabilities);
        let rng = &mut at.rng(ORBIT);
        let start = if style.shading == Shading::Last { None } else { fixed_point(maps, probabilities) };
        let played = match start {
            Some(start) => orbit::play_from(start, table, rng, num_points, at.simd, points),
            None => orbit::play(table, rng, num_points, at.simd, points),
        };
        let Some(bounds) = played else {
            return Outcome::Nothing;
        };
        let bounds = style.view.apply(at, points, bounds);
        let window = at.window();
        let lit = if style.shading != Shading::Last {
            let mark = mark(style.draw, &mut at.rng(PATCH));
            density.plot(points, bounds, [height, width], margin, mark, at.simd);
            show_density(density, at, style, sample)
        } else if style.draw == Draw::Point {
            single.draw(points, bounds, window, margin, color, at.simd, sample.image);
            lit(sample.image, color, at.simd)
        } else {
            surface.plot(points, bounds, height, width, margin, at.simd);
            let mark = mark(style.draw, &mut at.rng(PATCH));
            surface.resolve(window, mark, color, at.simd, sample.image);
            lit(sample.image, color, at.simd)
        };
        let outcome = outcome(at, style, lit);
        if outcome == Outcome::Shown || !at.frame.resample_degenerate {
            style.finish.apply(at, finish, sample.image);
        }
        outcome
    }

    /// Renders the category with restarting orbits and solid patches, and moves the window to one of
    /// the points. If re-rendering is off, renders the instance this way instead of the category.
    fn draw_fallback(&self, at: At<'_>, style: &Style, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        let Scratch { maps, table, points, surface, finish, .. } = scratch;
        let maps =
            if at.attempt == 0 { self.instance(at, style, |factor| factor, maps).0 } else { self.maps() };
        table.build(maps, self.probabilities());
        let bounds = orbit::play_restarting(table, &mut at.rng(ORBIT), style.num_points, points);
        surface.plot(points, bounds, at.frame.height, at.frame.width, style.margin, at.simd);

        let mut window = at.window();
        window.show(surface.newest_cell());
        let mark = if style.draw == Draw::Point { Mark::Pixel } else { Mark::SOLID };
        surface.resolve(window, mark, at.frame.color, at.simd, sample.image);
        style.finish.apply(at, finish, sample.image);
    }
}

impl Ifs {
    /// Returns the maps of an attempt: varied, or the category's own in the last attempt; and the map
    /// that alone changed, if there is one.
    pub(super) fn instance<'a>(
        &'a self,
        at: At<'_>,
        style: &Style,
        round: fn(f64) -> f64,
        varied: &'a mut Vec<Map>,
    ) -> (&'a [Map], Option<Changed>) {
        if is_last(at, style) {
            return (self.maps(), None);
        }
        let changed = vary(self.maps(), style.variation, at, round, varied);
        (varied, changed)
    }
}

/// Returns how many times a degenerate image is re-rendered.
pub(super) fn retries(style: &Style) -> u8 {
    // Without a variation, every attempt would show the same.
    if style.variation == Variation::Identity && style.view.is_whole() { 0 } else { VARIED_ATTEMPTS }
}

fn is_last(at: At<'_>, style: &Style) -> bool {
    at.attempt == u64::from(retries(style))
}

/// Decides whether an image has enough lit pixels; in the last attempt, one is enough.
pub(super) fn outcome(at: At<'_>, style: &Style, lit: usize) -> Outcome {
    let (height, width) = at.frame.output_size();
    let enough = if is_last(at, style) {
        lit > 0
    } else {
        lit as f64 >= MIN_LIT_SHARE * style.num_points.min(height * width) as f64
    };
    if enough { Outcome::Shown } else { Outcome::Degenerate }
}

/// Writes the pixels of a density and returns the number of those with points.
fn show_density(density: &mut Density, at: At<'_>, style: &Style, sample: &mut Sample<'_>) -> usize {
    let color = at.frame.color;
    let mut show = |tone| density.show(at.window(), tone, color, at.simd, sample.image);
    if style.shading == Shading::Any {
        return show(Tone::Lit);
    }
    if !color {
        return show(Tone::Gray);
    }
    let mut rng = at.rng(COLOR);
    let shift = rng.between(0.0, 255.0);
    let mut byte = |low| (255.0 * rng.between(low, 1.0)) as u8; // truncates
    let (saturation, value) = (byte(0.3), byte(0.5));
    show(Tone::Hue { shift, colors: &std::array::from_fn(|hue| hsv(hue as u8, saturation, value)) })
}

fn mark(draw: Draw, rng: &mut Rng) -> Mark<'static> {
    match draw {
        Draw::Point => Mark::Pixel,
        Draw::Patch(Patch::Random) => Mark::Patch(Masks::Random(rng.next_u64() as u32)), // any 32 bits
        Draw::Patch(Patch::Fixed) => Mark::Patch(Masks::Fixed(1 + rng.below(511) as u32)), // 1..=511
        Draw::Patch(Patch::Solid) => Mark::SOLID,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::machine::Flag;
    use crate::render;
    use crate::simd::Simd;

    /// Small enough for Miri, which checks every memory access.
    #[test]
    fn a_small_image_is_the_same_on_every_path() {
        let map = |e| [0.5, 0.1, -0.2, 0.6, e, 0.3 - e];
        let few = Ifs::new(vec![map(0.0), map(0.5), map(-0.4)], vec![0.5, 0.25, 0.25]).unwrap();
        let six = Ifs::new((0..6).map(|i| map(f64::from(i) / 10.0)).collect(), vec![1.0 / 6.0; 6]).unwrap();
        let gray = Frame { height: 16, width: 20, ..Frame::default() };
        let color = Frame { color: true, ..gray.clone() };
        let patch = Style { num_points: 150, margin: 1, ..Style::default() };
        let point = Style { draw: Draw::Point, ..patch.clone() };
        let dense = Style { shading: Shading::Density, ..patch.clone() };
        let any = Style { shading: Shading::Any, ..point.clone() };
        let fixed = Style { draw: Draw::Patch(Patch::Fixed), ..dense.clone() };
        for (ifs, frame, style) in [
            (&few, &gray, &patch),
            (&six, &color, &point),
            (&few, &color, &fixed),
            (&six, &gray, &dense),
            (&six, &gray, &any),
        ] {
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
