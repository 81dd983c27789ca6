//! A family as a part of another family's images: an object of a scene, or a texture.

use crate::address::At;
use crate::arrays::Arrays;
use crate::error::Error;
use crate::family;
use crate::formula::interface::{Formula, Ground, Style};
use crate::frame::Frame;
use crate::machine::with_scratch;
use crate::render;
use crate::sample::Sample;

/// Categories and their settings. Implemented once, for any [`Formula`].
#[allow(clippy::len_without_is_empty)] // never empty
pub trait Part: Send + Sync {
    /// Returns the number of categories.
    fn len(&self) -> usize;

    /// Returns the frame that the settings are meant for; a part is a scaled copy of it.
    fn frame(&self) -> &Frame;

    /// Returns the approximate number of bytes of scratch memory that an image of this size takes.
    fn memory(&self, height: usize, width: usize) -> usize;

    /// Returns the background of a category's images.
    fn ground(&self, category: u64) -> Ground;

    /// Renders an image of `at.frame`, and re-renders it while it is degenerate.
    fn draw(&self, at: At<'_>, image: &mut [u8]);
}

/// Makes a part from parameters and settings.
pub(in crate::formula) type Maker = fn(&Arrays, &str) -> Result<Box<dyn Part>, Error>;

struct Styled<F: Formula> {
    categories: Vec<F>,
    frame: Frame,
    style: F::Style,
}

impl<F: Formula> Part for Styled<F> {
    fn len(&self) -> usize {
        self.categories.len()
    }

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn memory(&self, height: usize, width: usize) -> usize {
        let frame = Frame { height, width, crop: None, ..self.frame.clone() };
        self.categories[0].memory(&self.style.scaled(&self.frame, &frame), &frame)
    }

    fn ground(&self, category: u64) -> Ground {
        self.categories[category as usize].ground(&self.style)
    }

    fn draw(&self, at: At<'_>, image: &mut [u8]) {
        let category = &self.categories[at.address.category as usize];
        let style = self.style.scaled(&self.frame, at.frame);
        let mut sample = Sample { image, objects: None };
        with_scratch(|scratch| {
            render::draw(category, at.with_format(F::FORMAT), &style, scratch, &mut sample)
        });
    }
}

/// Creates a part from the parameters of its categories and its settings as JSON.
pub(in crate::formula) fn styled<F: Formula>(
    parameters: &Arrays,
    settings: &str,
) -> Result<Box<dyn Part>, Error> {
    if !F::PART {
        return Err(Error::Part(F::NAME));
    }
    let (frame, style) = family::settings::<F::Style>(settings)?;
    style.check(&Frame { color: false, ..frame.clone() })?; // a gray image has gray parts
    Ok(part(super::categories::<F>(parameters)?, frame, style))
}

/// Creates a part from categories and their settings.
pub fn part<F: Formula>(categories: Vec<F>, frame: Frame, style: F::Style) -> Box<dyn Part> {
    Box::new(Styled { categories, frame, style })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::BuiltIn;

    #[test]
    fn scenes_and_replays_are_not_parts_of_other_images() {
        for name in ["scene", "segrcdb", "segrcdb-released", "released", "rcdb-released"] {
            let part = BuiltIn::named(name).unwrap().part(&Arrays::default(), "{}");
            assert!(matches!(part, Err(Error::Part(family)) if family == name), "{name}");
        }
    }
}
