//! The categories of a data set, all of one family.

use std::any::Any;

use serde::Deserialize;

use crate::error::Error;
use crate::formula::interface::{Formula, Style};
use crate::frame::Frame;
use crate::machine::{InterruptCheck, Machine};
use crate::render::{Job, render};
use crate::sample::Samples;

/// Categories that render from settings in JSON. Implemented for a `Vec` of any [`Formula`].
#[allow(clippy::len_without_is_empty)] // none is ever empty
pub trait Family: Any + Send + Sync {
    /// Returns the name of the family.
    fn name(&self) -> &'static str;

    /// Returns the number of categories.
    fn len(&self) -> usize;

    /// Returns the version of the family's format.
    fn format(&self) -> u64;

    /// Returns the number of instances after which a category repeats its variations.
    fn period(&self) -> u64;

    /// Returns whether its images can be parts of other images.
    fn can_be_part(&self) -> bool;

    /// Renders the samples at `addresses`, pairs of (category, index), with the settings
    /// `{"frame": …, "style": …}`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Settings`] if the JSON does not hold valid settings. Also fails where
    /// [`render`](crate::render()) does.
    fn render(
        &self,
        addresses: &[(u64, u64)],
        seed: u64,
        settings: &str,
        machine: &Machine,
        interrupted: InterruptCheck<'_>,
        samples: Samples<'_>,
    ) -> Result<(), Error>;
}

impl<F: Formula> Family for Vec<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn len(&self) -> usize {
        self.len()
    }

    fn format(&self) -> u64 {
        F::FORMAT
    }

    fn period(&self) -> u64 {
        F::PERIOD
    }

    fn can_be_part(&self) -> bool {
        F::PART
    }

    fn render(
        &self,
        addresses: &[(u64, u64)],
        seed: u64,
        settings: &str,
        machine: &Machine,
        interrupted: InterruptCheck<'_>,
        samples: Samples<'_>,
    ) -> Result<(), Error> {
        let (frame, style) = &self::settings(settings)?;
        render(&Job { categories: self, seed, frame, style, machine }, addresses, interrupted, samples)
    }
}

/// Reads a frame and a style from JSON, and checks them.
pub(crate) fn settings<S: Style>(json: &str) -> Result<(Frame, S), Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings<S> {
        frame: Frame,
        style: S,
    }
    let Settings::<S> { frame, style } = serde_json::from_str(json).map_err(Error::of_json)?;
    style.check(&frame)?;
    Ok((frame, style))
}
