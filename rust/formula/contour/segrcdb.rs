//! SegRCDB (Shinoda et al., "SegRCDB: Semantic Segmentation via Formula-Driven Supervised
//! Learning", ICCV 2023): ring polygons all over the image, later ones over earlier ones, and a mask
//! of their classes.
//!
//! A class fixes everything about a polygon except its center and the noise. In our own images, the
//! last object has the image's category, and the others have random ones. [`Released`] draws the random
//! numbers of the released code (MIT license, AIST), whose images have no category. The rules were
//! read off the released code; none of it is here.

use std::sync::Arc;

use serde::Deserialize;

use crate::address::{At, Purpose};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::contour::released::{Stream, vertices};
use crate::formula::contour::rings::{self, Draws, Polygon, Ring, Start, UNIT, within};
use crate::formula::contour::style::{Background, ContourStyle};
use crate::formula::interface::{Formula, Outcome, Style};
use crate::frame::{Frame, Window};
use crate::sample::{Objects, Sample};
use crate::surface::Plane;

/// Classes, centers, grays and noise.
const POLYGONS: Purpose = Purpose(42);
/// Images that a process of the released code draws from one stream.
const IMAGES_PER_PROCESS: u64 = 500;
/// The largest number of objects; an object's number must fit in a byte.
const MAX_OBJECTS: u64 = 255;

/// The settings of SegRCDB.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegStyle {
    /// Objects per image.
    pub objects: u64,
    /// The pixels of an object in the mask.
    pub mask: Mask,
}

/// The pixels of an object in the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mask {
    /// M1: the lines of every ring.
    Strokes,
    /// M2: the area between the first ring and the last. The inside of the first becomes background,
    /// even over other objects. An object with one ring has no such area.
    Between,
    /// M3: the area inside the last ring.
    Filled,
}

impl Default for SegStyle {
    fn default() -> Self {
        Self { objects: 32, mask: Mask::Strokes }
    }
}

impl Style for SegStyle {
    fn check(&self, _: &Frame) -> Result<(), Error> {
        let fits = (1..=MAX_OBJECTS).contains(&self.objects);
        Error::unless(fits, "objects", "between 1 and 255", self.objects as f64) // only shown
    }
}

/// One class.
#[derive(Clone, Debug)]
struct Class {
    polygon: Polygon,
    radius: f64,
    oval: [f64; 2],
}

impl Class {
    /// Takes vertices (3…1000), rings (1…200), noise (0…16), step (0…16), radius (0…256) and oval
    /// (0…4, along x and y).
    fn new([vertices, rings, noise, step, radius, x, y]: [f64; 7]) -> Result<Self, Error> {
        let polygon = Polygon::new([vertices, rings, noise, step], None)?;
        within("radius", "between 0 and 256", 0.0..=256.0, radius)?;
        for value in [x, y] {
            within("oval", "between 0 and 4", 0.0..=4.0, value)?;
        }
        Ok(Self { polygon: Polygon { from_center: true, ..polygon }, radius, oval: [x, y] })
    }
}

/// One category.
#[derive(Clone, Debug)]
pub struct SegRcdb {
    classes: Arc<[Class]>,
    category: usize,
}

/// Returns the classes of the released code: rows of seven numbers as [`SegRcdb`] takes them.
pub fn released_classes(count: usize) -> Vec<[f64; 7]> {
    let mut stream = Stream::new(0);
    let row = |_| {
        let n = vertices(&mut stream, 500.0);
        let rings = stream.integer(1, 50);
        let (noise, step) = (stream.uniform(0.0, 4.0), stream.uniform(0.0, 0.1));
        let radius = stream.integer(0, 50);
        [n, rings, noise, step, radius, stream.uniform(1.0, 2.0), stream.uniform(1.0, 2.0)]
    };
    (0..count).map(row).collect()
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    rings: rings::Scratch,
    /// The number of the object in each cell, if objects are requested.
    map: Plane,
    categories: Vec<u64>,
    first: Vec<[i32; 2]>,
    last: Vec<[i32; 2]>,
    next: Option<Next>,
}

/// The next image of a process of the released code.
struct Next {
    /// These settings determine how many numbers the previous images drew.
    classes: Arc<[Class]>,
    objects: u64,
    process: u64,
    position: u64,
    stream: Stream,
}

impl SegRcdb {
    /// Draws the objects; if `own` is given, it is the category of the last one. Returns whether the
    /// window shows a lit vertex of the last object.
    fn paint(
        &self,
        at: At<'_>,
        style: &SegStyle,
        own: Option<usize>,
        draws: &mut impl Draws,
        with_map: bool,
        scratch: &mut Scratch,
    ) -> bool {
        let Scratch { rings, map, categories, first, last, .. } = scratch;
        let (height, width) = (at.frame.height, at.frame.width);
        let window = at.window();
        rings.plane.clear(height, width, 0);
        if with_map {
            map.clear(height, width, 0);
        }
        categories.clear();
        let mut seen = false;
        for number in 1..=style.objects as u8 {
            let newest = u64::from(number) == style.objects;
            let (category, center) = match own.filter(|_| newest) {
                Some(own) => (own, center(draws)),
                None => self.drawn(draws),
            };
            categories.push(category as u64);
            let Class { polygon, radius, oval } = &self.classes[category];
            let start = Start { radius: *radius, oval: *oval, center };
            polygon.each(at, start, draws, rings, |Ring { number: ring, gray, cells, plane }| {
                plane.closed_line(cells, 1, gray, at.simd);
                seen |= newest && cells.iter().any(|&cell| gray > 0 && shows(window, cell));
                if !with_map {
                    return;
                }
                if style.mask == Mask::Strokes {
                    map.closed_line(cells, 1, number, at.simd);
                    return;
                }
                for (kept, wanted) in [(&mut *first, ring == 0), (&mut *last, ring == polygon.rings - 1)] {
                    if wanted {
                        kept.clear();
                        kept.extend_from_slice(cells);
                    }
                }
            });
            if at.stopped() {
                return true;
            }
            if !with_map || style.mask == Mask::Strokes {
                continue;
            }
            if style.mask == Mask::Filled {
                map.fill_polygon(last, number, at.simd);
            } else if polygon.rings > 1 {
                map.fill_polygon(last, number, at.simd);
                map.fill_polygon(first, 0, at.simd);
                map.closed_line(last, 1, number, at.simd);
                map.closed_line(first, 1, number, at.simd);
            }
        }
        seen
    }

    /// Draws a class and a center.
    fn drawn(&self, draws: &mut impl Draws) -> (usize, [f64; 2]) {
        let class = draws.below(self.classes.len() as u64) as usize;
        (class, center(draws))
    }

    /// Draws the random numbers of an image without rendering it.
    fn skip(&self, style: &SegStyle, stream: &mut Stream) {
        for _ in 0..style.objects {
            let (class, _) = self.drawn(stream);
            self.classes[class].polygon.skip(stream);
        }
    }

    /// Writes the image and its objects.
    fn write(at: At<'_>, window: Window, scratch: &Scratch, sample: &mut Sample<'_>) -> Outcome {
        scratch.rings.plane.show(window, None, at.frame.color, sample.image);
        if let Some(Objects { map, categories }) = &mut sample.objects {
            scratch.map.show_map(window, map);
            categories.clone_from(&scratch.categories);
        }
        Outcome::of_image(sample.image, 0)
    }

    /// Draws one line across the window, as the only object.
    fn line(&self, at: At<'_>, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        let style = ContourStyle { background: Some(Background::Black), ..ContourStyle::default() };
        self.classes[self.category].polygon.draw_fallback(at, &style, &mut scratch.rings, sample);
        if let Some(Objects { map, categories }) = &mut sample.objects {
            let pixels = sample.image.chunks_exact(at.frame.channels());
            map.iter_mut().zip(pixels).for_each(|(object, pixel)| *object = (pixel[0] != 0).into());
            categories.push(self.category as u64);
        }
    }
}

/// Draws a center, y first.
fn center(draws: &mut impl Draws) -> [f64; 2] {
    [0, 1].map(|_| (UNIT + draws.below(1025) as f64 - 512.0) / 2.0)
}

/// Returns whether a window shows a cell, given as column and row from the top.
fn shows(window: Window, [x, y]: [i32; 2]) -> bool {
    let (height, width) = window.of;
    if !((0..height as i32).contains(&y) && (0..width as i32).contains(&x)) {
        return false;
    }
    let (row, column) = (y as usize, x as usize); // both inside
    // Here y points down, and windows that do not flip rows show the surface upside down.
    let row = if window.flip_rows { row } else { height - 1 - row };
    let column = if window.flip_columns { width - 1 - column } else { column };
    (window.top..window.top + window.height).contains(&row)
        && (window.left..window.left + window.width).contains(&column)
}

impl Formula for SegRcdb {
    const NAME: &'static str = "segrcdb";
    const PART: bool = false;
    const OBJECTS: bool = true;
    type Style = SegStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        let rows = parameters.rows("classes")?.iter();
        let classes: Arc<[Class]> = rows.map(|&row| Class::new(row)).collect::<Result<_, _>>()?;
        Ok((0..classes.len()).map(|category| Self { classes: classes.clone(), category }).collect())
    }

    /// Draws the objects. The image is degenerate if the object of its own category has no lit
    /// vertex.
    fn draw(&self, at: At<'_>, style: &SegStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        let mut rng = at.rng(POLYGONS);
        let seen = self.paint(at, style, Some(self.category), &mut rng, sample.objects.is_some(), scratch);
        let outcome = Self::write(at, at.window(), scratch, sample);
        if seen { outcome } else { Outcome::Degenerate }
    }

    fn draw_fallback(&self, at: At<'_>, _: &SegStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        self.line(at, scratch, sample);
    }
}

/// A category of images of the released code: with C categories, the image of category c and index i
/// is image i·C + c of the released code.
#[derive(Clone, Debug)]
pub struct Released(SegRcdb);

impl Formula for Released {
    const NAME: &'static str = "segrcdb-released";
    const PART: bool = false;
    const OBJECTS: bool = true;
    type Style = SegStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Ok(SegRcdb::family(parameters)?.into_iter().map(Self).collect())
    }

    /// The released code draws every image once.
    fn retries(_: &SegStyle) -> u8 {
        0
    }

    fn draw(&self, at: At<'_>, style: &SegStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        let count = self.0.classes.len() as u64;
        let image = at.image_number().wrapping_mul(count).wrapping_add(at.address.category);
        let (process, position) = (image / IMAGES_PER_PROCESS, image % IMAGES_PER_PROCESS);
        let (classes, objects) = (&self.0.classes, style.objects);
        let kept = scratch.next.take().filter(|next| {
            let same = next.process == process && next.objects == objects;
            same && Arc::ptr_eq(&next.classes, classes) && next.position <= position
        });
        let mut next = kept.unwrap_or_else(|| {
            let stream = Stream::new(process + 1);
            Next { classes: classes.clone(), objects, process, position: 0, stream }
        });
        while next.position < position {
            if at.stopped() {
                return Outcome::Shown;
            }
            self.0.skip(style, &mut next.stream);
            next.position += 1;
        }
        self.0.paint(at, style, None, &mut next.stream, sample.objects.is_some(), scratch);
        next.position += 1;
        // If it was stopped, the stream is somewhere within this image.
        scratch.next = (!at.stopped()).then_some(next);
        SegRcdb::write(at, at.window(), scratch, sample)
    }

    fn draw_fallback(&self, at: At<'_>, _: &SegStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        self.0.line(at, scratch, sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::interface::assert_that_a_stop_spares_the_next_image;

    #[test]
    fn a_stopped_image_does_not_change_the_next() {
        let classes = released_classes(3).into_iter().map(|row| Class::new(row).unwrap()).collect();
        let formula = Released(SegRcdb { classes, category: 0 });
        assert_that_a_stop_spares_the_next_image(&formula, &SegStyle::default());
    }
}
