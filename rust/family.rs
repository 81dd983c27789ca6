//! The categories of a data set, all of one family, whichever it is.

use std::any::Any;

use serde::Deserialize;

use crate::error::Error;
use crate::formula::interface::{Formula, Style};
use crate::frame::Frame;
use crate::machine::{Look, Machine};
use crate::render::{Job, render};
use crate::sample::Samples;

/// Categories that can be rendered by their settings in JSON. Every [`Formula`] has it.
#[allow(clippy::len_without_is_empty)] // none is ever empty
pub trait Family: Any + Send + Sync {
    /// Returns the name of the family.
    fn name(&self) -> &'static str;

    /// Returns the number of categories.
    fn len(&self) -> usize;

    /// Returns the version of the family's format.
    fn format(&self) -> u64;

    /// Returns how many instances a category has before they repeat in kind.
    fn period(&self) -> u64;

    /// Renders the samples at `places` (category, index), with `{"frame": …, "style": …}`.
    fn render(
        &self,
        places: &[(u64, u64)],
        seed: u64,
        settings: &str,
        machine: &Machine,
        look: Look<'_>,
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

    fn render(
        &self,
        places: &[(u64, u64)],
        seed: u64,
        settings: &str,
        machine: &Machine,
        look: Look<'_>,
        samples: Samples<'_>,
    ) -> Result<(), Error> {
        let (frame, style) = &self::settings(settings)?;
        render(&Job { categories: self, seed, frame, style, machine }, places, look, samples)
    }
}

/// Reads a frame and a style from JSON, and checks them.
pub fn settings<S: Style>(json: &str) -> Result<(Frame, S), Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings<S> {
        frame: Frame,
        style: S,
    }
    let Settings::<S> { frame, style } =
        serde_json::from_str(json).map_err(|error| Error::Settings(error.to_string()))?;
    style.check(&frame)?;
    Ok((frame, style))
}
