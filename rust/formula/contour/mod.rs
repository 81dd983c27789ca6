//! Radial contours: rings of one polygon, each the previous one moved outward by noise (Kataoka et
//! al., "Replacing Labeled Real-image Datasets with Auto-generated Contours", CVPR 2022: RCDB;
//! Takashima et al., "Visual Atoms", CVPR 2023).
//!
//! `rings` has the rule that all of them share. `rcdb` and `atom` define their categories and
//! instances, [`style`] defines the background and the lines, and [`segrcdb`] has images of many
//! polygons and their masks. [`released`] replays the released code (MIT license, AIST): their
//! categories number for number, their images byte for byte. The rules were read off the released
//! code; none of it is here. Lengths are in pixels of a 512×512 image.

mod atom;
pub(super) mod noise;
mod rcdb;
pub mod released;
mod rings;
pub mod segrcdb;
pub mod style;

pub use atom::Atom;
pub use rcdb::Contour;
pub use rings::Start;
pub use style::ContourStyle;
