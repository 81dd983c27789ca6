//! Fractals and other formulas as an endless, reproducible stream of pictures for
//! pre-training vision models ("Pre-training without Natural Images", Kataoka et al.).
//!
//! **Given the categories, a picture is a pure function of its [`Address`]**: seed,
//! category, index. Threads, processors and what was drawn before leave no trace in it.
//!
//! | file | what lives there |
//! |---|---|
//! | [`address`] | `Address`, and the random streams keyed by it |
//! | [`rendering`] | `Rendering`: how pictures are drawn, checked once |
//! | [`dots`] | the dots of one picture, and the box around them |
//! | [`canvas`] | dots becoming pixels |
//! | [`window`] | the part of a picture that is kept, and how it is mirrored |
//! | [`formula`] | the trait a family of categories implements, and the families |
//! | [`render`](mod@render) | many addresses into one buffer, one task a picture |
//! | [`machine`] | threads, a path of the processor, and the look for an interrupt |
//! | `mersenne` | the random numbers of NumPy and Python, for replaying the authors' program |
//! | [`label`](mod@label) | the label of a picture, which may be made wrong on purpose |
//! | [`order`] | the order in which an endless stream visits addresses |
//! | [`png`](mod@png) | pictures as files |
//! | [`pool`] | this process's own threads, also after a fork |
//! | [`simd`] | the processor's fast paths, equal to the bit |
//! | [`error`] | each way a caller can be mistaken |
//! | `python` | the only folder that knows Python |

pub mod address;
pub mod canvas;
pub mod dots;
pub mod error;
pub mod formula;
pub mod label;
pub mod machine;
mod mersenne;
pub mod order;
pub mod png;
pub mod pool;
#[cfg(feature = "python")]
mod python;
pub mod render;
pub mod rendering;
pub mod simd;
pub mod window;

pub use address::Address;
pub use error::Error;
pub use formula::Formula;
pub use formula::bezier::Bezier;
pub use formula::ifs::Ifs;
pub use formula::perlin::Perlin;
pub use machine::Machine;
pub use render::{render, render_watched};
pub use rendering::Rendering;
pub use simd::Simd;
