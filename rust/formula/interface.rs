//! The traits that a family implements.

use serde::de::DeserializeOwned;

use crate::address::At;
use crate::arrays::Arrays;
use crate::error::Error;
use crate::frame::Frame;
use crate::sample::Sample;

/// One category: a formula with fixed parameters.
///
/// A sample depends only on `self`, the address, the frame and the style. All randomness comes from
/// [`At::rng`]. The contents of the scratch are unspecified on entry.
pub trait Formula: Send + Sync + Sized + 'static {
    /// The name of the family in files and in Python.
    const NAME: &'static str;
    /// The version of the format. Raise it when a change makes the same address render to different
    /// bytes.
    const FORMAT: u64 = 1;
    /// The number of instances after which a category repeats its variations. An endless stream visits
    /// the first `PERIOD` instances of a category in random order, then the next `PERIOD`, and so on.
    const PERIOD: u64 = 1000;
    /// Whether its images can be parts of other images: objects of a scene, or textures.
    const PART: bool = true;
    /// Whether its samples have objects, of which masks, boxes and several labels are made. Its class
    /// in Python lists these `targets`.
    const OBJECTS: bool = false;
    /// The settings that only this family has.
    type Style: Style;
    /// Scratch memory that is reused from sample to sample; each thread has its own.
    type Scratch: Default + 'static;

    /// Creates the categories of a family from their parameters.
    ///
    /// # Errors
    ///
    /// Returns an error if a parameter is missing or out of range.
    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error>;

    /// Returns how many times a degenerate sample is re-rendered before the fallback.
    fn retries(_style: &Self::Style) -> u8 {
        8
    }

    /// Returns the approximate number of bytes of scratch memory that rendering a sample takes.
    fn memory(&self, _style: &Self::Style, frame: &Frame) -> usize {
        8 * frame.height * frame.width
    }

    /// Returns the background of this category's images. There, a scene shows what is behind the
    /// object.
    fn ground(&self, _style: &Self::Style) -> Ground {
        Ground::Black
    }

    /// Renders one attempt at a sample. If it was stopped ([`At::stopped`]), neither what it wrote nor the
    /// outcome matters.
    ///
    /// `image` may hold anything on entry, and is written completely. A family with
    /// [`OBJECTS`](Self::OBJECTS) also fills `sample.objects`, if they are requested; on entry, the map
    /// is 0 everywhere and there are no categories. The sample's own category should be visible: if it
    /// is not, the attempt is degenerate.
    fn draw(
        &self,
        at: At<'_>,
        style: &Self::Style,
        scratch: &mut Self::Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome;

    /// Renders an image that is never blank, whatever the parameters. Called if all attempts were
    /// degenerate, or if the first returned [`Outcome::Nothing`] and re-rendering is off.
    fn draw_fallback(
        &self,
        at: At<'_>,
        style: &Self::Style,
        scratch: &mut Self::Scratch,
        sample: &mut Sample<'_>,
    );
}

/// The settings of one family, deserialized from the JSON that Python writes.
pub trait Style: DeserializeOwned + Clone + Send + Sync + 'static {
    /// Checks that the settings are in range, fit together and fit the frame.
    ///
    /// # Errors
    ///
    /// Returns an error if they do not. The default accepts all settings.
    fn check(&self, _frame: &Frame) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the settings with which an image of the size of `to` looks like a scaled copy of one
    /// of the size of `from`, as an object of a scene does. By default the settings are the same at
    /// any size.
    fn scaled(&self, _from: &Frame, _to: &Frame) -> Self {
        self.clone()
    }
}

/// Whose rules or random numbers an image follows, in families whose authors released code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// The released code's.
    Released,
}

/// The style of a family that has no further settings.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoStyle {}

impl Style for NoStyle {}

/// The background of an image: the value of pixels where nothing is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// 0 in every channel.
    Black,
    /// 255 in every channel.
    White,
    /// Every pixel shows something.
    None,
}

impl Ground {
    /// Returns the byte in every channel.
    pub fn byte(self) -> Option<u8> {
        match self {
            Self::Black => Some(0),
            Self::White => Some(255),
            Self::None => None,
        }
    }
}

/// The result of an attempt at a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is usable.
    Shown,
    /// The image shows too little.
    Degenerate,
    /// No image was written.
    Nothing,
}

impl Outcome {
    /// `Shown` if an image has a byte other than the background's, otherwise `Degenerate`.
    pub fn of_image(image: &[u8], background: u8) -> Self {
        // In chunks, which are vectorized.
        let mut chunks = image.chunks(256);
        let shown = chunks.any(|bytes| bytes.iter().fold(false, |shown, &byte| shown | (byte != background)));
        if shown { Self::Shown } else { Self::Degenerate }
    }
}

/// For formulas that re-render black images: the image after the last attempt is not black, either.
#[cfg(test)]
pub(crate) fn assert_that_no_fallback_is_black<F: Formula>(formula: &F, style: &F::Style) {
    use crate::address::Address;
    use crate::frame::Crop;
    use crate::machine::Flag;
    use crate::simd::Simd;

    let crop = Some(Crop { height: 1, width: 1, random: true });
    let frame = Frame { height: 32, width: 32, crop, ..Frame::default() };
    let (flag, mut scratch, mut black) = (Flag::default(), F::Scratch::default(), 0);
    for index in 0..10_000 {
        let mut image = [0];
        let mut sample = Sample { image: &mut image, objects: None };
        let mut at = At::new(Address { seed: 0, category: 0, index }, &frame, 1, Simd::PLAIN, &flag);
        if formula.draw(at, style, &mut scratch, &mut sample) == Outcome::Degenerate {
            at.attempt += 1;
            formula.draw_fallback(at, style, &mut scratch, &mut sample);
            assert_ne!(image, [0], "index {index}");
            black += 1;
        }
    }
    assert!(black > 0, "no image was black");
}

/// For formulas that keep a random stream from image to image: a stop at any check of one image must not
/// change the image after it.
#[cfg(test)]
pub(crate) fn assert_that_a_stop_spares_the_next_image<F: Formula>(formula: &F, style: &F::Style) {
    use std::cell::Cell;

    use crate::address::Address;
    use crate::machine::{Flag, StopsAfter, Watch};
    use crate::simd::Simd;

    let frame = Frame { height: 64, width: 64, flips: false, ..Frame::default() };
    let draw = |index, watch: &dyn Watch, scratch: &mut F::Scratch| {
        let mut image = vec![0; frame.bytes()];
        let at = At::new(Address { seed: 0, category: 0, index }, &frame, 1, Simd::PLAIN, watch);
        formula.draw(at, style, scratch, &mut Sample { image: &mut image, objects: None });
        image
    };
    let expected = draw(2, &Flag::default(), &mut F::Scratch::default());
    for checks in 0..20 {
        let mut scratch = F::Scratch::default();
        draw(0, &Flag::default(), &mut scratch);
        draw(1, &StopsAfter(Cell::new(checks)), &mut scratch);
        assert!(draw(2, &Flag::default(), &mut scratch) == expected, "stopped after {checks} checks");
    }
    // A thread's first image may be stopped before it has any memory.
    draw(100, &StopsAfter(Cell::new(0)), &mut F::Scratch::default());
}
