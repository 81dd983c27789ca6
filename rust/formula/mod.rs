//! What a family of categories implements, and the families.
//!
//! To add one: a file here with a type for one category that implements
//! [`Formula`], its line in
//! [`BUILT_IN`], and a class in `python/fdsl/families/`. Nothing that streams, exports or trains
//! changes. Its tests are a row of golden digests (`tests/golden.rs`) and a line among the
//! properties (`tests/properties.rs`).

pub mod bezier;
pub mod contour;
pub mod ifs;
pub mod interface;
pub mod perlin;

use crate::arrays::Arrays;
use crate::error::Error;
use crate::family::{self, Family};
use crate::formula::interface::Formula;

/// Every family of this crate.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn::of::<ifs::Ifs>(),
    BuiltIn::of::<ifs::released::Released>(),
    BuiltIn::of::<perlin::Perlin>(),
    BuiltIn::of::<bezier::Bezier>(),
    BuiltIn::of::<contour::Contour>(),
];

/// A family by name.
pub struct BuiltIn {
    /// What files and Python call it.
    pub name: &'static str,
    make: fn(&Arrays) -> Result<Box<dyn Family>, Error>,
    check: fn(&str) -> Result<(), Error>,
}

impl BuiltIn {
    const fn of<F: Formula>() -> Self {
        Self {
            name: F::NAME,
            make: |parameters| Ok(Box::new(F::family(parameters)?)),
            check: |settings| family::settings::<F::Style>(settings).map(|_| ()),
        }
    }

    /// Finds a family.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        BUILT_IN.iter().find(|family| family.name == name).ok_or_else(|| Error::Family {
            known: BUILT_IN.iter().map(|family| family.name).collect::<Vec<_>>().join(", "),
            given: name.to_owned(),
        })
    }

    /// Makes the categories from their parameters.
    pub fn make(&self, parameters: &Arrays) -> Result<Box<dyn Family>, Error> {
        (self.make)(parameters)
    }

    /// Checks a frame and a style of this family, as JSON.
    pub fn check(&self, settings: &str) -> Result<(), Error> {
        (self.check)(settings)
    }
}
