//! Scenes: several objects in one image, each an image of another family.
//!
//! The scene's categories are those of its parts, concatenated. A scene of category c has an object
//! of that category; the others are sampled by its address. Every object is rendered in its own square frame
//! and covers what is behind it wherever it shows something ([`Ground`]). Objects are painted from
//! front to back: each pixel is written once, and a hidden object is detected before it changes any
//! pixel.
//!
//! `layout` positions the objects, and `paint` paints them.

mod layout;
mod paint;
pub mod style;

use std::sync::Arc;

use serde::Deserialize;

use crate::address::{At, Purpose};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::BuiltIn;
use crate::formula::interface::{Formula, Ground, NoStyle, Outcome};
use crate::formula::part::Part;
use crate::formula::perlin::Perlin;
use crate::formula::scene::layout::{Object, alone, layout, side};
use crate::formula::scene::paint::{Canvas, Paint};
use crate::formula::scene::style::{Backdrop, ObjectColor, SceneStyle};
use crate::frame::{Frame, Window};
use crate::machine::with_scratch;
use crate::render;
use crate::sample::{Objects, Sample};
use crate::surface::blur::random_sigma;
use crate::surface::{Blur, Resize};

/// The gray or the category of the backdrop, and the frequency of its noise.
const BACKDROP: Purpose = Purpose(41);
/// Whether an image is blurred, and how much.
const BLUR: Purpose = Purpose(43);
/// The part number of the backdrop; objects have smaller ones.
const BEHIND: u64 = 1 << 31;

/// One category of a scene.
#[derive(Clone)]
pub struct Scene {
    parts: Arc<Parts>,
    category: u64,
}

/// The state that all categories of a scene share.
struct Parts {
    parts: Vec<Box<dyn Part>>,
    /// The first category of each part, and the number of all categories.
    firsts: Vec<u64>,
    backdrop: Option<Box<dyn Part>>,
}

/// The families of a scene as Python writes them; their arrays are named `0:maps` or `backdrop:maps`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    parts: Vec<Described>,
    backdrop: Option<Described>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    family: String,
    settings: Box<serde_json::value::RawValue>,
}

impl Described {
    fn part(&self, parameters: &Arrays, prefix: &str) -> Result<Box<dyn Part>, Error> {
        BuiltIn::named(&self.family)?.part(&parameters.under(prefix), self.settings.get())
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    objects: Vec<Object>,
    canvas: Canvas,
    pixels: Vec<u8>,
    resized: Vec<u8>,
    resize: Resize,
    blur: Blur,
}

impl Parts {
    fn categories(&self) -> u64 {
        self.firsts[self.parts.len()]
    }

    /// Returns the part that a category belongs to, and the category's number within it.
    fn find(&self, category: u64) -> (&dyn Part, u64) {
        let part = self.firsts.partition_point(|&first| first <= category) - 1;
        (&*self.parts[part], category - self.firsts[part])
    }

    /// Fills the image with the backdrop.
    fn draw_backdrop(&self, at: At<'_>, style: &SceneStyle, image: &mut [u8]) {
        let mut rng = at.rng(BACKDROP);
        let frame = Frame { crop: None, flips: false, ..at.frame.clone() };
        match (style.backdrop, &self.backdrop) {
            (None, Some(family)) => {
                family.draw(at.part(BEHIND, rng.below(family.len() as u64), &frame), image);
            }
            (None | Some(Backdrop::Black), _) => image.fill(0),
            (Some(Backdrop::White), _) => image.fill(255),
            (Some(Backdrop::Gray), _) => {
                let gray = rng.below(128) as u8;
                image.fill(if gray < 64 { gray } else { gray + 128 }); // not close to fractals' 127
            }
            (Some(Backdrop::Noise), _) => {
                let frequency = rng.between(1.0, 12.0);
                let noise = Perlin::new([frequency; 2], 3, 0.5, 1.0).expect("a valid frequency");
                let (at, mut sample) = (at.part(BEHIND, 0, &frame), Sample { image, objects: None });
                with_scratch(|scratch| render::draw(&noise, at, &NoStyle {}, scratch, &mut sample));
            }
        }
    }
}

impl Scene {
    /// Paints the objects of the scratch on the backdrop, and blurs the image.
    fn compose(&self, at: At<'_>, style: &SceneStyle, scratch: &mut Scratch) {
        let Scratch { objects, canvas, pixels, resized, resize, blur } = scratch;
        canvas.clear(at.frame.height, at.frame.width, at.frame.channels());
        self.parts.draw_backdrop(at, style, &mut canvas.image);
        let random = style.object_color == ObjectColor::Random;
        for object in &*objects {
            if at.stopped() {
                return;
            }
            let (part, category) = self.parts.find(object.category);
            let drawn = style.render_scale.map_or(object.side, |scale| side(at.frame, scale));
            let color = at.frame.color && !random;
            let frame = Frame { height: drawn, width: drawn, crop: None, color, ..part.frame().clone() };
            pixels.resize(frame.bytes(), 0);
            part.draw(at.part(object.number as u64, category, &frame), pixels);
            if drawn != object.side {
                resized.resize(object.side * object.side * frame.channels(), 0);
                resize.apply(pixels, [drawn; 2], frame.channels(), [object.side; 2], at.simd, resized);
                std::mem::swap(pixels, resized);
            }
            let paint = if random { Paint::Color(object.color) } else { Paint::Own };
            // The scene's own object is left out only if none of it is visible.
            let max_covered = if object.number == 0 { 1.0 } else { style.max_covered };
            canvas.put(object, pixels, part.ground(category).byte(), paint, max_covered);
        }
        if style.blur > 0.0
            && let Some(sigma) = random_sigma(style.blur, &mut at.rng(BLUR))
        {
            blur.apply(&mut canvas.image, at.frame.width, at.frame.channels(), sigma, at.simd);
        }
    }

    fn write(&self, scratch: &Scratch, window: Window, sample: &mut Sample<'_>) {
        scratch.canvas.show(window, sample.image);
        if let Some(Objects { map, categories }) = &mut sample.objects {
            scratch.canvas.show_map(window, map);
            categories.resize(scratch.objects.len(), 0);
            for object in &scratch.objects {
                categories[object.number] = object.category;
            }
        }
    }
}

/// Returns the attempt with the index that the four flips of a scene share.
fn unflipped(mut at: At<'_>) -> At<'_> {
    at.address.index = at.index();
    at
}

impl Formula for Scene {
    const NAME: &'static str = "scene";
    const PART: bool = false;
    const OBJECTS: bool = true;
    type Style = SceneStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        let described: Description =
            serde_json::from_str(parameters.text("scene")?).map_err(Error::of_json)?;
        let part = |(number, part): (usize, &Described)| part.part(parameters, &format!("{number}:"));
        let parts: Vec<_> = described.parts.iter().enumerate().map(part).collect::<Result<_, _>>()?;
        let backdrop = described.backdrop.map(|part| part.part(parameters, "backdrop:")).transpose()?;
        let mut firsts = vec![0];
        firsts.extend(parts.iter().scan(0, |sum, part| {
            *sum += part.len() as u64;
            Some(*sum)
        }));
        let parts = Arc::new(Parts { parts, firsts, backdrop });
        Ok((0..parts.categories()).map(|category| Self { parts: parts.clone(), category }).collect())
    }

    fn memory(&self, style: &SceneStyle, frame: &Frame) -> usize {
        let largest = side(frame, style.render_scale.unwrap_or(style.max_scale));
        let of_object = self.parts.parts.iter().map(|part| part.memory(largest, largest)).max();
        let backdrop = self.parts.backdrop.as_ref().filter(|_| style.backdrop.is_none());
        let of_backdrop = backdrop.map(|part| part.memory(frame.height, frame.width));
        24 * frame.height * frame.width + of_object.max(of_backdrop).unwrap_or(0)
    }

    fn ground(&self, _: &SceneStyle) -> Ground {
        Ground::None
    }

    /// Renders the scene. It is degenerate if the window does not show the object of its own
    /// category.
    fn draw(
        &self,
        at: At<'_>,
        style: &SceneStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let window = at.window();
        let at = unflipped(at);
        layout(at, style, self.category, self.parts.categories(), &mut scratch.objects);
        self.compose(at, style, scratch);
        self.write(scratch, window, sample);
        if scratch.canvas.shows(window, 1) { Outcome::Shown } else { Outcome::Degenerate }
    }

    /// Renders one object in the middle, and moves the window to it.
    fn draw_fallback(&self, at: At<'_>, style: &SceneStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        let mut window = at.window();
        let at = unflipped(at);
        scratch.objects.clear();
        scratch.objects.push(alone(at, style, self.category));
        self.compose(at, style, scratch);
        if scratch.canvas.cell(1).is_none() {
            // Resizing has lost an object of a few pixels.
            self.compose(at, &SceneStyle { render_scale: None, ..style.clone() }, scratch);
        }
        if let Some(cell) = scratch.canvas.cell(1) {
            window.show(cell);
        }
        self.write(scratch, window, sample);
    }
}
