//! The errors a caller can cause; each message gives the rejected value and what is accepted.

#![allow(missing_docs)] // the messages are the documentation

use thiserror::Error;

/// A mistake of the caller. Our own mistakes are caught by `debug_assert!`.
#[derive(Debug, Error, PartialEq, Clone)]
pub enum Error {
    #[error("a category needs between 1 and 256 maps, got {0}")]
    MapCount(usize),
    #[error("every map parameter must be a finite number, got {value} in map {map}")]
    MapParameter { map: usize, value: f64 },
    #[error("expected one probability per map, got {maps} maps and {probabilities} probabilities")]
    ProbabilityCount { maps: usize, probabilities: usize },
    #[error("every probability must be between 0 and 1, got {value} for map {map}")]
    Probability { map: usize, value: f64 },
    #[error("the probabilities of a category must sum to 1 (to within 1e-6), got a sum of {0}")]
    ProbabilitySum(f64),

    /// For any numeric parameter of a family.
    #[error("{name} must be {accepted}, got {given}")]
    Number { name: &'static str, accepted: &'static str, given: f64 },

    #[error("size must be between 16 and 4096 on each side, got {height}×{width}")]
    Size { height: usize, width: usize },
    #[error("margin must leave at least 2 pixels of the size: 2·margin ≤ {smaller} − 2, got margin={margin}")]
    Margin { margin: usize, smaller: usize },
    #[error(
        "crop must be between 1 and the size {height}×{width} on each side, got {crop_height}×{crop_width}"
    )]
    Crop { height: usize, width: usize, crop_height: usize, crop_width: usize },
    #[error("{0}")]
    Settings(String),
    #[error("there is no family {given:?}; known: {known}")]
    Family { known: String, given: String },
    #[error("images of {0} cannot be parts of other images")]
    Part(&'static str),
    #[error("images of {0} have no objects, so no masks, boxes or several labels")]
    Objects(&'static str),
    #[error("the parameter {0:?} is missing, or has the wrong shape or type")]
    Parameter(&'static str),
    #[error("category {category}: {error}")]
    InCategory { category: usize, error: Box<Error> },
    #[error("{name} must be {accepted}, got {given:?}")]
    Choice { name: &'static str, accepted: &'static str, given: String },

    #[error("category {category} is out of range: there are {categories}, counted from 0")]
    Category { category: u64, categories: usize },
    #[error("{name} must have the length {expected}, got {given}")]
    Length { name: &'static str, expected: usize, given: usize },
    #[error("could not start {threads} threads: {reason}")]
    Pool { threads: usize, reason: String },

    #[error("{0} must be at least 1, got 0")]
    Zero(&'static str),
    #[error("the numbers of maps must satisfy 1 ≤ min_maps ≤ max_maps ≤ 256, got {min} and {max}")]
    MapRange { min: usize, max: usize },
    #[error("contractive systems need 2 ≤ min_maps ≤ max_maps ≤ 256, got {min} and {max}")]
    ContractiveMaps { min: usize, max: usize },
    #[error(
        "every map of {tried} systems collapsed to a line: singular_sum must be larger, \
         got {low:?} and {high:?}"
    )]
    NoArea { tried: u64, low: f64, high: f64 },
    #[error("singular_sum must satisfy 0 < low ≤ high < 3·min_maps = {most}, got {low} and {high}")]
    SingularSum { low: f64, high: f64, most: f64 },
    #[error("the released sampler takes a seed between 0 and 2**32 - 1, got {0}")]
    ReleasedSeed(u64),
    #[error(
        "gave up after {tried} candidates, the last {in_a_row} of them below fill_rate {fill_rate}: \
         found {found} of {wanted} categories; the best filling rate was {best:.4}. \
         Try a lower fill_rate, more points or a larger max_tries"
    )]
    Search { tried: u64, in_a_row: u64, fill_rate: f64, found: usize, wanted: usize, best: f64 },

    #[error(
        "gave up after {tried} candidates, the last {in_a_row} of them with a variance below threshold \
         {threshold} along some axis: found {found} of {wanted} categories; of the others, the best has a smallest \
         variance of {best:.4}. Try a lower threshold or a larger max_tries"
    )]
    VarianceSearch { tried: u64, in_a_row: u64, threshold: f64, found: usize, wanted: usize, best: f64 },

    #[error("interrupted")]
    Interrupted,

    #[error("this processor does not support {0}; see FDSL_SIMD")]
    Simd(&'static str),
}

impl Error {
    /// Returns [`Error::Number`] unless the number fits.
    pub(crate) fn unless(
        fits: bool,
        name: &'static str,
        accepted: &'static str,
        given: f64,
    ) -> Result<(), Self> {
        if fits { Ok(()) } else { Err(Error::Number { name, accepted, given }) }
    }

    /// Leaves out line and column: only this library writes the JSON, so a position would not help.
    pub(crate) fn of_json(error: serde_json::Error) -> Self {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = error.to_string();
        let reason = reason.strip_suffix(&place).unwrap_or(&reason);
        let start = if error.is_data() { "" } else { "cannot read the settings: " };
        Error::Settings(format!("{start}{reason}"))
    }
}
