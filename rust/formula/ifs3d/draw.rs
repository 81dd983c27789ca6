//! One image: an instance of a category, seen from one side.
//!
//! The 12, 144 or 1,728 views of an instance have consecutive indices and share their points. The scratch
//! keeps the points of the last instance, so rendering in order plays the chaos game once for all of them.

use crate::address::{Address, At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::ifs3d::camera::{Camera, Film};
use crate::formula::ifs3d::cloud::Cloud;
use crate::formula::ifs3d::instance::{ROWS, Slot, UNSCALED, VIEWS, scale};
use crate::formula::ifs3d::orbit::{self, Maps};
use crate::formula::ifs3d::released::Replay;
use crate::formula::ifs3d::{Ifs3d, Map, Style, View};
use crate::formula::interface::{Formula, Outcome};
use crate::formula::system::ESCAPE_RADIUS;
use crate::frame::Frame;
use crate::mersenne::Mersenne;
use crate::sample::Sample;
use crate::surface::lit;

use std::f64::consts::TAU;

/// The points of an instance.
const CLOUD: Purpose = Purpose(20);
/// The camera.
const CAMERA: Purpose = Purpose(21);
/// The weight row of an image that is rendered again.
const ROW: Purpose = Purpose(22);

/// Attempts with other weight rows, before the unscaled category. Part of the format.
const VARIED: u8 = 9;
/// An image is degenerate if it has fewer lit pixels than this share of its points or of its
/// pixels, whichever are fewer. Part of the format.
const ENOUGH: f64 = 0.01;

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    instance: Instance,
    film: Film,
}

impl Scratch {
    /// Returns the points of the last image.
    #[cfg(feature = "python")]
    pub(crate) fn cloud(&self) -> &Cloud {
        &self.instance.cloud
    }
}

/// The last instance, and its points.
#[derive(Default)]
pub(super) struct Instance {
    maps: Vec<Map>,
    table: Maps,
    replay: Replay,
    cloud: Cloud,
    /// Everything that the cloud depends on; empty if the cloud is not valid.
    of: Vec<u64>,
    next: Vec<u64>,
}

impl Instance {
    /// Plays the chaos game for an instance, unless it is the last one; returns whether there is a cloud.
    /// `seed` seeds the random numbers; those of the released code use 32 bits of it.
    fn play(&mut self, formula: &Ifs3d, row: u64, seed: u64, style: &Style, at: At<'_>) -> bool {
        let Self { maps, table, replay, cloud, of, next } = self;
        scale(formula.maps(), row, style.varied(), style.compat, maps);
        next.clear();
        next.extend([style.num_points as u64, seed, style.compat.is_some().into()]);
        next.extend(maps.iter().flatten().chain(formula.probabilities()).map(|number| number.to_bits()));
        if of == next {
            return true;
        }
        of.clear();
        let played = if style.compat.is_some() {
            let numbers = Mersenne::numpy(seed as u32); // its low 32 bits
            replay.play(maps, formula.probabilities(), numbers, style.num_points, at.simd, cloud).is_some()
        } else {
            table.build(maps, formula.probabilities());
            orbit::play(table, &mut Rng::new(seed), style.num_points, at.simd, cloud)
                && cloud.normalize(ESCAPE_RADIUS, at.simd).is_some()
        };
        if played {
            std::mem::swap(of, next);
        }
        played
    }
}

impl Formula for Ifs3d {
    const NAME: &'static str = "ifs3d";
    const PERIOD: u64 = ROWS * VIEWS;
    type Style = Style;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Self::from_arrays(parameters)
    }

    /// Without a variation, every attempt would use the same maps.
    fn retries(style: &Style) -> u8 {
        if style.varied().is_some() { VARIED } else { 0 }
    }

    fn memory(&self, style: &Style, frame: &Frame) -> usize {
        style.memory(frame)
    }

    fn draw(&self, at: At<'_>, style: &Style, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        let Scratch { instance, film } = scratch;
        let is_last = at.attempt == u64::from(Self::retries(style));
        if !instance.play(self, row(at, style, is_last), cloud_seed(at, style), style, at) {
            return Outcome::Nothing;
        }
        project(at, style, camera(at, style), &instance.cloud, film);
        film.show(at.window(), at.frame.color, sample.image);
        let (height, width) = at.frame.output_size();
        let enough = ENOUGH * style.num_points.min(height * width) as f64;
        let lit = lit(sample.image, at.frame.color, at.simd);
        let shown = if is_last { lit > 0 } else { lit as f64 >= enough };
        if shown { Outcome::Shown } else { Outcome::Degenerate }
    }

    /// Renders finite points of the category, or of the instance itself if it may not be re-rendered. At
    /// least one pixel is lit.
    fn draw_fallback(&self, at: At<'_>, style: &Style, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        let Scratch { instance: Instance { maps, table, cloud, of, .. }, film } = scratch;
        of.clear();
        scale(self.maps(), row(at, style, at.attempt > 0), style.varied(), style.compat, maps);
        table.build(maps, self.probabilities());
        orbit::play_restarting(table, &mut Rng::new(cloud_seed(at, style)), style.num_points, cloud);
        let normalized = cloud.normalize(ESCAPE_RADIUS, at.simd);
        debug_assert!(normalized.is_some(), "restarted orbits are finite");
        project(at, style, camera(at, style), cloud, film);
        let (row, column) = film.lit_pixel();
        let mut window = at.window();
        window.show((at.frame.height - 1 - row, column));
        film.show(window, at.frame.color, sample.image);
    }
}

/// Renders one view with the given weight row, seed and camera, for tests against the released code's
/// images. Returns the points, unless the orbit escapes.
#[cfg(feature = "python")]
pub(crate) fn draw_given(
    formula: &Ifs3d,
    at: At<'_>,
    style: &Style,
    row: u64,
    seed: u64,
    camera: Camera,
    image: &mut [u8],
) -> Option<Cloud> {
    let (mut instance, mut film) = (Instance::default(), Film::default());
    if !instance.play(formula, row, seed, style, at) {
        return None;
    }
    project(at, style, camera, &instance.cloud, &mut film);
    film.show(at.window(), at.frame.color, image);
    Some(instance.cloud)
}

/// Returns the weight row of an attempt: first that of the index, then random ones, and last none.
fn row(at: At<'_>, style: &Style, is_last: bool) -> u64 {
    match at.attempt {
        _ if is_last && at.attempt > 0 => UNSCALED,
        0 => Slot::of(at, style).row(),
        _ => cloud_rng(at, style, ROW).below(ROWS),
    }
}

/// Returns the seed of an instance's random numbers.
fn cloud_seed(at: At<'_>, style: &Style) -> u64 {
    cloud_rng(at, style, CLOUD).next_u64()
}

/// Returns the random stream that the views of an instance share.
fn cloud_rng(at: At<'_>, style: &Style, purpose: Purpose) -> Rng {
    Address { index: Slot::of(at, style).cloud, ..at.address }.rng(Ifs3d::FORMAT, purpose, at.attempt)
}

fn camera(at: At<'_>, style: &Style) -> Camera {
    let mut rng = at.rng(CAMERA);
    match style.view {
        View::Fixed | View::TwoAxis | View::ThreeAxis => {
            let view = Slot::of(at, style).view;
            let step = |axis| view / VIEWS.pow(axis) % VIEWS;
            let mut jitter = || rng.between(-style.jitter, style.jitter);
            Camera::fixed((0..style.view.axes()).map(|axis| (step(axis), jitter())))
        }
        View::Random => Camera::new(rng.between(0.0, TAU), rng.between(-1.0, 1.0)),
    }
}

fn project(at: At<'_>, style: &Style, camera: Camera, cloud: &Cloud, film: &mut Film) {
    film.project(cloud, camera, [at.frame.height, at.frame.width], style.point_size, style.shade, at.simd);
}
