//! What a family of categories implements.

use serde::de::DeserializeOwned;

use crate::address::At;
use crate::arrays::Arrays;
use crate::error::Error;
use crate::frame::Frame;
use crate::sample::Sample;

/// One category: a formula with its parameters fixed.
///
/// What a sample holds depends on `self`, the address, the frame and the style, on nothing else;
/// randomness comes from [`At::rng`] alone. Scratch may hold anything on entry.
pub trait Formula: Send + Sync + Sized + 'static {
    /// What files and Python call the family.
    const NAME: &'static str;
    /// Raised whenever the same address would give other bytes than the release before.
    const FORMAT: u64 = 1;
    /// Instances of a category before they repeat in kind; an endless stream walks so many in
    /// random order, then the next as many.
    const PERIOD: u64 = 1000;
    /// What this family alone obeys.
    type Style: Style;
    /// Memory that is kept from sample to sample, one per thread.
    type Scratch: Default + 'static;

    /// Makes the categories from their parameters, or says what is wrong with them.
    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error>;

    /// Returns how often a degenerate sample is rendered again before the fallback.
    fn retries(_style: &Self::Style) -> u8 {
        8
    }

    /// Renders one attempt.
    fn draw(
        &self,
        at: At<'_>,
        style: &Self::Style,
        scratch: &mut Self::Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome;

    /// Renders something that shows, whatever the parameters, when every attempt was degenerate;
    /// or when the first one had [`Outcome::Nothing`] to show and may not be repeated.
    fn draw_fallback(
        &self,
        at: At<'_>,
        style: &Self::Style,
        scratch: &mut Self::Scratch,
        sample: &mut Sample<'_>,
    );
}

/// What a family alone obeys; read from the JSON that Python writes.
pub trait Style: DeserializeOwned + Clone + Send + Sync + 'static {
    /// Checks the settings against each other and the frame.
    fn check(&self, _frame: &Frame) -> Result<(), Error> {
        Ok(())
    }

    /// Returns about how many bytes a sample takes while it is rendered.
    fn memory(&self, frame: &Frame) -> usize {
        8 * frame.height * frame.width
    }
}

/// The style of a family that has none.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoStyle {}

impl Style for NoStyle {}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is something to see.
    Shown,
    /// There is too little to see.
    Degenerate,
    /// There is no image at all: the sample holds nothing.
    Nothing,
}
