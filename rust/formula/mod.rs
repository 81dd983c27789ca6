//! The [`Formula`] trait and the families that implement it.
//!
//! To add a family, write a file here with a type for one category that implements [`Formula`], add
//! it to [`BUILT_IN`], and write its class in `python/fdsl/families/`. Streams, exports and training
//! need no change. Its tests are golden digests (`tests/golden.rs`) and a property
//! (`tests/properties.rs`); `CONTRIBUTING.md` lists what else it needs.
//!
//! | module | contents |
//! |---|---|
//! | [`interface`] | the traits of a family and its style, and the outcome of an attempt |
//! | [`part`] | a family as a part of other images |
//! | [`ifs`], [`ifs3d`] | fractals |
//! | [`system`] | what both share: systems of maps, the search for them, and how replays choose maps |
//! | [`contour`] | rings: RCDB, VisualAtom, SegRCDB |
//! | [`perlin`], [`spectrum`], [`diamond_square`] | noise |
//! | [`bezier`] | curves |
//! | [`leaves`] | dead leaves |
//! | [`scene`] | scenes of several objects |
//!
//! What families share is not written again: [`Error::Number`] rejects a parameter, and
//! [`surface`](crate::surface) draws points, strokes and gray cells, and crops, flips and colors them.

pub mod bezier;
pub mod contour;
pub mod diamond_square;
pub mod ifs;
pub mod ifs3d;
pub mod interface;
pub mod leaves;
pub mod part;
pub mod perlin;
pub mod scene;
pub mod spectrum;
pub mod system;

use crate::arrays::Arrays;
use crate::error::Error;
use crate::family::{self, Family};
use crate::formula::interface::Formula;
use crate::formula::part::Part;

/// Every family of this crate.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn::of::<ifs::Ifs>(),
    BuiltIn::of::<ifs::released::Released>(),
    BuiltIn::of::<ifs3d::Ifs3d>(),
    BuiltIn::of::<perlin::Perlin>(),
    BuiltIn::of::<diamond_square::DiamondSquare>(),
    BuiltIn::of::<bezier::Bezier>(),
    BuiltIn::of::<contour::Contour>(),
    BuiltIn::of::<contour::released::Released<contour::Contour>>(),
    BuiltIn::of::<contour::Atom>(),
    BuiltIn::of::<contour::released::Released<contour::Atom>>(),
    BuiltIn::of::<contour::segrcdb::SegRcdb>(),
    BuiltIn::of::<contour::segrcdb::Released>(),
    BuiltIn::of::<leaves::DeadLeaves>(),
    BuiltIn::of::<spectrum::Spectrum>(),
    BuiltIn::of::<scene::Scene>(),
];

/// A family that can be created by name.
pub struct BuiltIn {
    /// The name of the family in files and in Python.
    pub name: &'static str,
    make: fn(&Arrays) -> Result<Box<dyn Family>, Error>,
    check: fn(&str) -> Result<(), Error>,
    part: part::Maker,
}

impl BuiltIn {
    const fn of<F: Formula>() -> Self {
        Self {
            name: F::NAME,
            make: |parameters| Ok(Box::new(categories::<F>(parameters)?)),
            check: |settings| family::settings::<F::Style>(settings).map(|_| ()),
            part: part::styled::<F>,
        }
    }

    /// Returns the family with this name.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Family`], which lists the known names, if there is no such family.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        BUILT_IN.iter().find(|family| family.name == name).ok_or_else(|| Error::Family {
            known: BUILT_IN.iter().map(|family| family.name).collect::<Vec<_>>().join(", "),
            given: name.to_owned(),
        })
    }

    /// Creates the categories from their parameters.
    ///
    /// # Errors
    ///
    /// Returns an error if a parameter is missing or invalid, or if there are no categories.
    pub fn make(&self, parameters: &Arrays) -> Result<Box<dyn Family>, Error> {
        (self.make)(parameters)
    }

    /// Creates the categories as a part of an image, with their settings as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Part`] if images of this family cannot be parts of others. Also fails where
    /// [`make`](Self::make) or [`check`](Self::check) does, and if the style is valid only in color,
    /// because the parts of a gray image are gray.
    pub fn part(&self, parameters: &Arrays, settings: &str) -> Result<Box<dyn Part>, Error> {
        (self.part)(parameters, settings)
    }

    /// Checks the settings (frame and style) of this family, given as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Settings`] if the JSON does not hold valid settings, and another error if the style
    /// is out of range or does not fit the frame.
    pub fn check(&self, settings: &str) -> Result<(), Error> {
        (self.check)(settings)
    }
}

/// Creates the categories of a family, at least one, from their parameters.
fn categories<F: Formula>(parameters: &Arrays) -> Result<Vec<F>, Error> {
    let categories = F::family(parameters)?;
    if categories.is_empty() { Err(Error::Zero("categories")) } else { Ok(categories) }
}
