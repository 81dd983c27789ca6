//! Dead leaves (Lee, Mumford and Huang, "Occlusion Models for Natural Images", 2001; Baradad et
//! al., "Learning to See by Looking at Noise", NeurIPS 2021): shapes of one color each, thrown on
//! top of each other until they hide the ground.
//!
//! A category is a kind of shape and the power law of its radius; an instance has its own positions,
//! sizes and colors. Kinds, sizes and power laws are those of the second paper's code, and `compat`
//! replays its random numbers. (The released code has no license: this is written from a description of
//! what it does.)
//!
//! The last leaf thrown is in front. We draw leaves from front to back, each one behind the
//! previous ones: only free pixels are written, one bit per pixel records which are free, and the
//! image is complete when none is left. The result has exactly the stationary distribution, that of
//! infinitely many leaves (Kendall and Thönnes, "Perfect simulation in stochastic geometry", 1999).
//! The released code throws leaves on top of each other until the ground is hidden. That takes
//! equally many leaves, but the last one is biased to be large, because it hides the last of the
//! ground: with squares on 128² pixels, 212 leaves are visible instead of 246.
//!
//! On one core, 128² pixels of mixed shapes take 0.2 ms. The released code takes 450 ms, since it looks
//! for black pixels after every leaf.

mod draws;
mod leaf;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::BuiltIn;
use crate::formula::interface::{Compat, Formula, Outcome, Style};
use crate::formula::part::Part;
use crate::frame::{Frame, Window};
use crate::sample::Sample;
use crate::surface::fill::Runs;
use crate::surface::free::Free;
use draws::{Draws, Law, Released};
use leaf::{KINDS, Kind};

/// Colors, radii, centers and angles.
const LEAVES: Purpose = Purpose(30);
/// The textures of an image, and the choice of one for each leaf.
const TEXTURES: Purpose = Purpose(32);
/// Textures per image. Part of the format.
const TEXTURES_PER_IMAGE: usize = 8;
/// The largest number of leaves in an image; one more then fills the rest. Part of the format.
const MOST: usize = 1 << 20;
/// The largest number of leaves in a replayed image; the background is black.
const MAX_RELEASED: usize = 5000;
/// The settings of a family of textures. They are rendered in the size of the image.
const TEXTURE: &str = r#"{
    "frame": {
        "size": [256, 256], "crop": null, "crop_position": "center", "flips": false, "color": false,
        "resample_degenerate": true
    },
    "style": {}
}"#;

/// One category.
#[derive(Clone)]
pub struct DeadLeaves {
    /// `None` draws a kind for every leaf.
    kind: Option<Kind>,
    law: Arc<Law>,
    /// The family that shades the leaves, if there is one.
    texture: Option<Arc<dyn Part>>,
}

impl fmt::Debug for DeadLeaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("DeadLeaves");
        fields.field("kind", &self.kind).field("law", &self.law).finish_non_exhaustive()
    }
}

impl DeadLeaves {
    /// Makes categories from rows: the number of a kind (0…5, or 6 for all of them), the exponent of
    /// the power law (0.1…10), and the smallest and largest radius (0.001…1, in sides of the image).
    ///
    /// The leaves are shaded by gray images of `texture`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Number`] if a number is out of range, if a kind is not whole, or if the largest
    /// radius is not above the smallest.
    pub fn of_rows(rows: &[[f64; 4]], texture: Option<Arc<dyn Part>>) -> Result<Vec<Self>, Error> {
        let mut laws = HashMap::<[u64; 3], Arc<Law>>::new();
        let category = |&[kind, exponent, min, max]: &[f64; 4]| {
            let check = Error::unless;
            let whole = kind.fract() == 0.0 && (0.0..=6.0).contains(&kind);
            check(whole, "shape", "a whole number between 0 and 6", kind)?;
            check((0.1..=10.0).contains(&exponent), "exponent", "between 0.1 and 10", exponent)?;
            check((0.001..=1.0).contains(&min), "min_radius", "between 0.001 and 1", min)?;
            check(min < max && max <= 1.0, "max_radius", "above min_radius and up to 1", max)?;
            let law = laws
                .entry([exponent, min, max].map(f64::to_bits))
                .or_insert_with(|| Arc::new(Law::new(exponent, min, max)));
            let kind = KINDS.get(kind as usize).copied(); // small and whole
            Ok(Self { kind, law: law.clone(), texture: texture.clone() })
        };
        rows.iter().map(category).collect()
    }

    /// Draws leaves from front to back until they cover the whole window, and returns the number of
    /// leaves.
    fn draw_behind(&self, mut draws: impl Draws, at: At<'_>, scratch: &mut Scratch) -> usize {
        let Scratch { runs, free, cells, textures } = scratch;
        let Frame { height, width, .. } = *at.frame;
        free.open(at.window());
        cells.resize(height * width, 0);
        let mut texture_of = at.rng(TEXTURES);
        if let Some(family) = &self.texture {
            draw_textures(&**family, at, &mut texture_of, textures);
        }
        let size = [width as i64, height as i64];
        for number in 0..=MOST {
            if number % 256 == 255 && at.stopped() {
                return number;
            }
            // Drawn for every leaf, even hidden ones: then a crop does not change other leaves.
            let texture =
                if self.texture.is_some() { texture_of.below(TEXTURES_PER_IMAGE as u64) } else { 0 };
            let wanted = |center, radius| number == MOST || free.any(center, radius, size);
            let Some(color) = self.leaf(&mut draws, size, runs, wanted) else { continue };
            if number == MOST {
                runs.rectangle([0, 0], size, size); // nothing is left behind it
            }
            let cell = packed(color);
            let shades = self.texture.is_some().then(|| {
                &textures[texture as usize * height * width..][..height * width] // one of eight
            });
            for (row, from, to) in runs.iter() {
                free.take(row, from, to, |column, pixels| {
                    let first = row * width + column;
                    let cells = &mut cells[first..][..pixels];
                    match shades {
                        None => cells.fill(cell),
                        Some(shades) => cells
                            .iter_mut()
                            .zip(&shades[first..])
                            .for_each(|(cell, &shade)| *cell = packed(shaded(color, shade))),
                    }
                });
            }
            if free.left == 0 {
                return number + 1;
            }
        }
        MOST + 1
    }

    /// Draws leaves on top of each other until no pixel is black, as in the released code, and returns the
    /// number of leaves.
    fn draw_on_top(&self, mut draws: impl Draws, at: At<'_>, scratch: &mut Scratch) -> usize {
        let Scratch { runs, free: black, cells, .. } = scratch;
        let Frame { height, width, .. } = *at.frame;
        black.open(Window::whole(height, width));
        cells.clear();
        cells.resize(height * width, 0);
        for number in 0..MAX_RELEASED {
            let size = [width as i64, height as i64];
            let cell = self.leaf(&mut draws, size, runs, |_, _| true).map_or(0, packed);
            for (row, from, to) in runs.iter() {
                cells[row * width..][from..=to].fill(cell);
                if cell == 0 {
                    black.put(row, from, to);
                } else {
                    black.take(row, from, to, |_, _| {});
                }
            }
            if black.left == 0 || number % 256 == 255 && at.stopped() {
                return number + 1;
            }
        }
        MAX_RELEASED
    }
}

/// Renders the textures of an image one after the other, uncropped.
fn draw_textures(family: &dyn Part, mut at: At<'_>, rng: &mut Rng, textures: &mut Vec<u8>) {
    let Frame { height, width, .. } = *at.frame;
    // Flips share their textures. `index`, not `image_number`: an unflipped image then has the same
    // textures, like the same leaves, whether flips are on or off.
    at.address.index = at.index();
    let frame = Frame { height, width, ..family.frame().clone() };
    textures.resize(TEXTURES_PER_IMAGE * height * width, 0);
    for (k, image) in textures.chunks_exact_mut(height * width).enumerate() {
        if at.stopped() {
            return;
        }
        family.draw(at.part(k as u64, rng.below(family.len() as u64), &frame), image);
    }
}

/// Makes a color lighter or darker; a shade of middle gray leaves it unchanged.
fn shaded(color: [u8; 3], shade: u8) -> [u8; 3] {
    color.map(|channel| (i32::from(channel) + i32::from(shade) - 128).clamp(0, 255) as u8)
}

/// The settings of dead leaves.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaves {
    /// Whether the random numbers of the released code are replayed.
    pub compat: Option<Compat>,
}

impl Style for Leaves {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        if self.compat.is_some() && !frame.color {
            let accepted = "True with compat='released', whose code draws in color";
            return Err(Error::Choice { name: "color", accepted, given: "False".to_owned() });
        }
        Ok(())
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    runs: Runs,
    free: Free,
    /// The color of each pixel of the whole image, top row first.
    cells: Vec<u32>,
    /// For each texture, a byte per pixel of the whole image, top row first.
    textures: Vec<u8>,
}

impl Formula for DeadLeaves {
    const NAME: &'static str = "deadleaves";
    type Style = Leaves;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        let texture = parameters
            .family("texture")
            .map(|(name, arrays)| BuiltIn::named(name)?.part(&arrays, TEXTURE).map(Arc::from))
            .transpose()?;
        Self::of_rows(parameters.rows("leaves")?, texture)
    }

    fn memory(&self, _: &Leaves, frame: &Frame) -> usize {
        // Cells and textures.
        let own = (4 + TEXTURES_PER_IMAGE) * frame.height * frame.width;
        own + self.texture.as_ref().map_or(0, |family| family.memory(frame.height, frame.width))
    }

    /// Renders the leaves; an image that is all black (a small crop of one leaf) is degenerate.
    fn draw(&self, at: At<'_>, style: &Leaves, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        match style.compat {
            None => self.draw_behind(at.rng(LEAVES), at, scratch),
            Some(Compat::Released) => self.draw_on_top(Released::new(at.index()), at, scratch),
        };
        show(&scratch.cells, at.window(), at.frame.color, sample.image);
        Outcome::of_image(sample.image, 0)
    }

    /// Renders the image, or white if it is all black.
    fn draw_fallback(&self, at: At<'_>, style: &Leaves, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        if self.draw(at, style, scratch, sample) == Outcome::Degenerate {
            sample.image.fill(255);
        }
    }
}

fn packed([r, g, b]: [u8; 3]) -> u32 {
    u32::from_le_bytes([r, g, b, 0])
}

/// Writes the cells of the window: the first byte of each, or three bytes in color.
fn show(cells: &[u32], window: Window, color: bool, pixels: &mut [u8]) {
    let (window, width) = (window.from_top(), window.of.1);
    if color {
        window.write(cells, width, pixels.as_chunks_mut().0, |cell| {
            let [red, green, blue, _] = cell.to_le_bytes();
            [red, green, blue]
        });
    } else {
        window.write(cells, width, pixels, |cell| cell as u8); // its first byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::formula::interface::NoStyle;
    use crate::formula::part::part;
    use crate::formula::spectrum::Spectrum;
    use crate::frame::Crop;
    use crate::simd::Simd;

    #[test]
    fn no_fallback_is_black() {
        let leaves = &DeadLeaves::of_rows(&[[1.0, 3.0, 0.03, 1.0]], None).unwrap()[0];
        crate::formula::interface::assert_that_no_fallback_is_black(leaves, &Leaves::default());
    }

    /// The quantiles of the radii are the released code's; the medians are those of a few of its images.
    #[test]
    fn radii_and_how_many_leaves_it_takes_are_distributed_as_in_the_released_code() {
        let quantiles = |mut values: Vec<f64>, shares: &[f64]| -> Vec<f64> {
            values.sort_by(f64::total_cmp);
            shares.iter().map(|share| values[(share * values.len() as f64) as usize]).collect()
        };
        let (law, mut rng) = (Law::new(3.0, 0.03, 1.0), Rng::new(1));
        let radii = (0..100_000).map(|_| law.radius(rng.unit())).collect();
        let expected = [0.030, 0.030, 0.035, 0.054, 0.118, 0.259];
        for (found, expected) in quantiles(radii, &[0.01, 0.25, 0.5, 0.75, 0.95, 0.99]).iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
        }
        let frame = Frame { height: 128, width: 128, flips: false, ..Frame::default() };
        let (mut scratch, flag) = (Scratch::default(), crate::machine::Flag::default());
        for (kind, median) in [(1.0, 1303.0), (2.0, 1392.0), (6.0, 1652.0)] {
            let leaves = &DeadLeaves::of_rows(&[[kind, 3.0, 0.03, 1.0]], None).unwrap()[0];
            let mut counts = [vec![], vec![]];
            for index in 0..1500 {
                let address = Address { seed: 1, category: 0, index };
                let at = At::new(address, &frame, 1, Simd::PLAIN, &flag);
                counts[0].push(leaves.draw_behind(at.rng(LEAVES), at, &mut scratch) as f64);
                counts[1].push(leaves.draw_on_top(Released::new(index), at, &mut scratch) as f64);
            }
            let [ours, theirs] = counts.map(|counts| quantiles(counts, &[0.05, 0.25, 0.5, 0.75, 0.95]));
            for (ours, (theirs, most)) in ours.iter().zip(theirs.iter().zip([0.12, 0.06, 0.05, 0.06, 0.12])) {
                assert!((ours / theirs - 1.0).abs() < most, "{kind}: {ours} {theirs}");
            }
            assert!((theirs[2] / median - 1.0).abs() < 0.1, "{kind}: {} {median}", theirs[2]);
        }
    }

    #[test]
    fn the_last_leaf_hides_whatever_a_million_small_ones_left_free() {
        let leaves = &DeadLeaves::of_rows(&[[0.0, 10.0, 0.001, 0.002]], None).unwrap()[0];
        let frame = Frame { height: 4096, width: 4096, ..Frame::default() };
        let (mut scratch, flag) = (Scratch::default(), crate::machine::Flag::default());
        let address = Address { seed: 1, category: 0, index: 0 };
        let at = At::new(address, &frame, 1, Simd::PLAIN, &flag);
        assert_eq!(leaves.draw_behind(at.rng(LEAVES), at, &mut scratch), MOST + 1);
        assert_eq!(scratch.free.left, 0);
    }

    #[test]
    fn a_crop_shows_what_the_whole_image_shows_there() {
        let spectrum = vec![Spectrum::new([1.0, 2.0]).unwrap()];
        let plain = Frame { flips: false, ..Frame::default() };
        let texture: Arc<dyn Part> = Arc::from(part(spectrum, plain, NoStyle {}));
        let leaves = &DeadLeaves::of_rows(&[[6.0, 3.0, 0.03, 1.0]], Some(texture)).unwrap()[0];
        let mut scratch = Scratch::default();
        let flag = crate::machine::Flag::default();
        let mut draw = |crop, index| {
            let frame = Frame { height: 70, width: 90, crop, ..Frame::default() };
            let mut image = vec![0; frame.bytes()];
            let at = At::new(Address { seed: 1, category: 0, index }, &frame, 1, Simd::PLAIN, &flag);
            let mut sample = Sample { image: &mut image, objects: None };
            leaves.draw(at, &Leaves::default(), &mut scratch, &mut sample);
            image
        };
        for index in 0..4 {
            let whole = draw(None, index);
            let crop = draw(Some(Crop { height: 30, width: 20, random: false }), index);
            for (row, pixels) in crop.chunks(20).enumerate() {
                assert_eq!(pixels, &whole[(row + 20) * 90 + 35..][..20], "flip {index}, row {row}");
            }
        }
    }
}
