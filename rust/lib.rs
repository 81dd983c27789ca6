//! Fractals and other formulas as an endless, reproducible stream of samples for pre-training
//! vision models ("Pre-training without Natural Images", Kataoka et al.).
//!
//! **Given the categories, a sample is a pure function of its [`Address`]**: seed, category,
//! index. Threads, processors and what was rendered before leave no trace in it.
//!
//! | file | what it holds |
//! |---|---|
//! | [`address`] | `Address`, `At`, and the random streams keyed by them |
//! | [`frame`] | what every family obeys: size, crop, flips, color |
//! | [`sample`] | image and objects of one address |
//! | [`points`] | the points of an orbit, and the box around them |
//! | [`surface`] | points and strokes becoming pixels |
//! | [`formula`] | what a family implements, and the families |
//! | [`family`] | the categories of a data set, whichever family they are of |
//! | [`arrays`] | the parameters of a family, as named arrays |
//! | [`render`](mod@render) | many addresses into one buffer; re-rendering what is degenerate |
//! | [`label`](mod@label) | the label of a sample, which may be made wrong on purpose |
//! | [`order`] | the order in which an endless stream visits addresses |
//! | [`png`](mod@png) | images as files |
//! | [`machine`] | threads, a path of the processor, and the look for an interrupt |
//! | [`pool`] | this process's own threads, also after a fork |
//! | [`simd`] | the processor's fast paths, equal to the bit |
//! | [`error`] | each way a caller can be mistaken |
//! | `python` | the only folder that knows Python |

pub mod address;
pub mod arrays;
pub mod error;
pub mod family;
pub mod formula;
pub mod frame;
pub mod label;
pub mod machine;
pub mod order;
pub mod png;
pub mod points;
pub mod pool;
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
pub use formula::ifs::{self, Ifs};
pub use formula::interface::{Formula, Outcome, Style};
pub use formula::perlin::Perlin;
pub use frame::{Crop, Frame};
pub use machine::Machine;
pub use render::{Job, render};
pub use sample::{Sample, Samples};
pub use simd::Simd;
