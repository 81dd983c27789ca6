//! The trait a family of categories implements, and the families.
//!
//! To add a family: one file here with a type for one category that implements
//! [`Formula`], one constructor in `python/categories.rs`, one class in `python/fdsl/formulas/`,
//! one row of golden digests. Nothing that streams, exports or trains changes.

pub mod bezier;
pub mod ifs;
pub mod perlin;

use crate::address::Address;
use crate::canvas::{Canvas, Points};
use crate::dots::Dots;
use crate::formula::ifs::Map;
use crate::formula::ifs::released::Replay;
use crate::formula::ifs::table::Table;
use crate::machine::Watch;
use crate::rendering::Rendering;
use crate::simd::Simd;

/// One category: a formula with its parameters fixed.
pub trait Formula: Sync {
    /// Draws the picture at `address` into `pixels` ([`Rendering::bytes`] of them, row by
    /// row) and returns how often it was drawn again because it had failed.
    ///
    /// The bytes depend on `self`, `address` and `rendering`, on nothing else; randomness
    /// comes from [`Address::rng`] alone. `scratch` may hold anything on entry. Once `watch` says
    /// so, what `pixels` holds does not matter.
    fn draw(
        &self,
        address: Address,
        rendering: &Rendering,
        scratch: &mut Scratch,
        watch: &dyn Watch,
        pixels: &mut [u8],
    ) -> u8;
}

/// What drawing needs beside the picture; one a thread, kept from picture to picture.
pub struct Scratch {
    pub(crate) simd: Simd,
    pub(crate) maps: Vec<Map>,
    pub(crate) table: Table,
    pub(crate) dots: Dots,
    pub(crate) canvas: Canvas,
    pub(crate) single: Points,
    pub(crate) replay: Replay,
    pub(crate) noise: perlin::Buffers,
    pub(crate) path: bezier::Path,
}

impl Scratch {
    /// Starts empty; the buffers grow to the largest picture drawn.
    pub fn new(simd: Simd) -> Self {
        Self {
            simd,
            maps: vec![],
            table: Table::default(),
            dots: Dots::default(),
            canvas: Canvas::default(),
            single: Points::default(),
            replay: Replay::default(),
            noise: Default::default(),
            path: Default::default(),
        }
    }
}
