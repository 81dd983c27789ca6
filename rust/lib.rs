//! Fractals and other formulas as an endless, reproducible stream of samples for pre-training
//! vision models ("Pre-training without Natural Images", Kataoka et al.).
//!
//! **Given the categories, a sample is a pure function of its [`Address`]**: seed, category,
//! index. It does not depend on the threads, the processor, or what was rendered before.
//!
//! | file | contents |
//! |---|---|
//! | [`address`] | `Address`, `At`, and the random streams keyed by them |
//! | [`frame`] | the settings shared by all families: size, crop, flips, color |
//! | [`sample`] | the image and the objects of one address |
//! | [`points`] | the points of an orbit and their bounding box |
//! | [`surface`] | rasterization of points and strokes |
//! | [`formula`] | the `Formula` trait, and the families |
//! | [`family`] | the categories of a data set, as an object-safe trait |
//! | [`arrays`] | the parameters of a family, as named arrays |
//! | [`render`](mod@render) | rendering of many samples, and of degenerate ones again |
//! | [`label`](mod@label) | labels, with optional label noise |
//! | [`order`] | the order in which an endless stream visits addresses |
//! | [`png`](mod@png) | PNG encoding |
//! | `mersenne` | NumPy's and Python's random numbers, to replay released code |
//! | [`machine`] | number of threads, SIMD backend, checks for an interrupt |
//! | `pool` | thread pools that survive a fork |
//! | [`simd`] | SIMD backends, bit-identical to each other |
//! | [`error`] | the errors a caller can cause |
//! | `python` | the bindings; no other folder knows Python |

pub mod address;
pub mod arrays;
pub mod error;
pub mod family;
pub mod formula;
pub mod frame;
pub mod label;
pub mod machine;
mod mersenne;
pub mod order;
pub mod png;
pub mod points;
mod pool;
#[cfg(feature = "python")]
mod python;
pub mod render;
pub mod sample;
pub mod simd;
pub mod surface;

pub use address::{Address, At};
pub use error::Error;
pub use family::Family;
pub use formula::bezier::Bezier;
pub use formula::contour::{Atom, Contour};
pub use formula::diamond_square::DiamondSquare;
pub use formula::ifs::{self, Ifs};
pub use formula::ifs3d::{self, Ifs3d};
pub use formula::interface::{Formula, Outcome, Style};
pub use formula::leaves::DeadLeaves;
pub use formula::perlin::Perlin;
pub use formula::scene::Scene;
pub use formula::spectrum::Spectrum;
pub use frame::{Crop, Frame};
pub use machine::Machine;
pub use render::{Job, render};
pub use sample::{Sample, Samples};
pub use simd::Simd;
