//! The rings of one image.

use std::f64::consts::TAU;

use crate::address::{At, Rng};
use crate::error::Error;
use crate::formula::contour::noise::{SPAN, look_up, noise};
use crate::formula::contour::style::ContourStyle;
use crate::formula::interface::Outcome;
use crate::sample::Sample;
use crate::simd::{Kernel, Lanes, Simd};
use crate::surface::Plane;

/// The size that all lengths are given for.
pub(super) const UNIT: f64 = 512.0;
/// The value of background cells where cells hold the numbers of rings, at most 199.
pub(super) const BACKGROUND: u8 = 255;

/// What all instances of a category share.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    /// Vertices of every ring.
    pub vertices: usize,
    /// Rings.
    pub rings: usize,
    /// λ: how far noise moves a vertex from ring to ring.
    pub noise: f64,
    /// w: how far every ring moves outward in addition. (The released code calls it a line width.)
    pub step: f64,
    /// Two waves along each ring, by their frequencies: VisualAtom's; RCDB has none.
    pub waves: Option<[u32; 2]>,
    /// Whether the center is added at the start, as in VisualAtom and SegRCDB. RCDB adds it when it
    /// draws a line: rounding differs.
    pub from_center: bool,
}

/// What differs between the instances of a category, apart from the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Of the first ring, before it becomes an oval.
    pub radius: f64,
    /// By how much x and y are longer than the radius.
    pub oval: [f64; 2],
    /// y and x.
    pub center: [f64; 2],
}

/// One ring, ready to be drawn.
pub(super) struct Ring<'a> {
    /// From 0, the innermost.
    pub(super) number: usize,
    /// Its gray.
    pub(super) gray: u8,
    /// Column and row from the top of each vertex.
    pub(super) cells: &'a [[i32; 2]],
    /// What the lines are drawn on.
    pub(super) plane: &'a mut Plane,
}

/// The random numbers of one image, in the order in which the rings need them.
pub(super) trait Draws {
    /// Draws a whole number below `n`.
    fn below(&mut self, n: u64) -> u64;
    /// Fills positions with uniform numbers in 0…[`SPAN`].
    fn positions(&mut self, positions: &mut [f32]);
    /// Draws positions that are not needed.
    fn skip_positions(&mut self, positions: usize);
}

impl Draws for Rng {
    fn below(&mut self, n: u64) -> u64 {
        Rng::below(self, n)
    }

    fn positions(&mut self, positions: &mut [f32]) {
        positions.fill_with(|| self.between(0.0, SPAN) as f32);
    }

    fn skip_positions(&mut self, positions: usize) {
        (0..positions).for_each(|_| _ = self.next_u64());
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    /// Cosine and sine of each vertex' angle.
    directions: [Vec<f64>; 2],
    /// Half of each wave at each vertex.
    waves: [Vec<f64>; 2],
    vertices: [Vec<f64>; 2],
    positions: Vec<f32>,
    /// Of the noise, at the positions.
    slopes: Vec<u32>,
    cells: Vec<[i32; 2]>,
    /// What the lines are drawn on.
    pub(super) plane: Plane,
}

impl Polygon {
    /// Takes vertices (3…1000), rings (1…200), noise (0…16), step (0…16) and frequencies (0…100).
    pub(super) fn new(
        [vertices, rings, noise, step]: [f64; 4],
        waves: Option<[f64; 2]>,
    ) -> Result<Self, Error> {
        let vertices = whole("vertices", "a whole number between 3 and 1000", 3.0..=1000.0, vertices)?;
        let rings = whole("rings", "a whole number between 1 and 200", 1.0..=200.0, rings)?;
        for (name, value) in [("noise", noise), ("step", step)] {
            within(name, "between 0 and 16", 0.0..=16.0, value)?;
        }
        let waves = waves.map(|waves| {
            let wave = |given| whole("frequencies", "whole numbers between 0 and 100", 0.0..=100.0, given);
            Ok([wave(waves[0])?, wave(waves[1])?])
        });
        let waves = waves.transpose()?;
        let from_center = waves.is_some();
        Ok(Self { vertices: vertices as usize, rings: rings as usize, noise, step, waves, from_center })
    }

    /// Draws the rings on the plane of `scratch`, which holds grays or, for colored lines, numbers
    /// of rings.
    pub(super) fn draw(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        start: Start,
        draws: &mut impl Draws,
        scratch: &mut Scratch,
    ) {
        let (height, width) = (at.frame.height, at.frame.width);
        let numbered = style.numbered();
        scratch.plane.clear(height, width, if numbered { BACKGROUND } else { style.background(self) });
        self.each(at, start, draws, scratch, |Ring { number, gray, cells, plane }| {
            let value = if numbered { number as u8 } else { gray }; // below 200
            plane.closed_line(cells, style.line_width, value, at.simd);
        });
    }

    /// Writes the plane to the image; one that shows nothing but background is degenerate.
    pub(super) fn show(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let colors = style.colors(self, at);
        scratch.plane.show(at.window(), colors.as_ref(), at.frame.color, sample.image);
        Outcome::of_image(sample.image, style.background(self))
    }

    /// Draws one line across the part of the image that is kept, and writes the image.
    pub(super) fn draw_fallback(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) {
        let (height, width) = (at.frame.height, at.frame.width);
        let background = style.background(self);
        // As a number of a color: that of the background, and one that a ring cannot have.
        let [below, line] =
            if style.numbered() { [BACKGROUND, BACKGROUND - 1] } else { [background, 255 - background] };
        scratch.plane.clear(height, width, below);
        scratch.plane.fill_row(height / 2, line);
        let mut window = at.window();
        window.show((height / 2, width / 2));
        let mut colors = style.colors(self, at);
        if let Some(colors) = &mut colors {
            colors[usize::from(line)] = [255 - background; 3];
        }
        scratch.plane.show(window, colors.as_ref(), at.frame.color, sample.image);
    }

    /// Calls `ring` with each ring, from the inside out.
    pub(super) fn each(
        &self,
        at: At<'_>,
        start: Start,
        draws: &mut impl Draws,
        scratch: &mut Scratch,
        mut ring: impl FnMut(Ring<'_>),
    ) {
        let scale = [at.frame.width as f64 / UNIT, at.frame.height as f64 / UNIT];
        self.begin(start, scratch);
        let [cy, cx] = if self.from_center { [0.0; 2] } else { start.center };
        for number in 0..self.rings {
            if at.stopped() {
                return;
            }
            let gray = self.gray(draws);
            self.grow(draws, scratch, at.simd);
            let Scratch { vertices: [x, y], cells, plane, .. } = scratch;
            cells.clear();
            at.simd.run(Cells { x, y, center: [cx, cy], scale, cells });
            ring(Ring { number, gray, cells, plane });
        }
    }

    /// Draws what the rings of an image need, and draws no rings.
    pub(super) fn skip(&self, draws: &mut impl Draws) {
        for _ in 0..self.rings {
            self.gray(draws);
            draws.skip_positions(2 * self.vertices);
        }
    }

    /// Draws the gray of a ring; RCDB's 256 is stored as 255.
    fn gray(&self, draws: &mut impl Draws) -> u8 {
        draws.below(if self.from_center { 256 } else { 257 }).min(255) as u8
    }

    /// Places the vertices of the start, which is not drawn.
    fn begin(&self, Start { radius, oval, center }: Start, scratch: &mut Scratch) {
        let n = self.vertices;
        let angle = |v: usize| TAU / n as f64 * v as f64;
        let Scratch { directions, waves, vertices, positions, .. } = scratch;
        // The same on every platform, unlike the standard library's.
        let fill = |values: &mut Vec<f64>, of: &dyn Fn(usize) -> f64| {
            values.clear();
            values.extend((0..n).map(of));
        };
        fill(&mut directions[0], &|v| libm::cos(angle(v)));
        fill(&mut directions[1], &|v| libm::sin(angle(v)));
        for (values, frequency) in waves.iter_mut().zip(self.waves.unwrap_or_default()) {
            fill(values, &|v| 0.5 * libm::sin(angle(v) * f64::from(frequency)));
        }
        let center = if self.from_center { [center[1], center[0]] } else { [0.0; 2] };
        for (axis, (values, directions)) in vertices.iter_mut().zip(&*directions).enumerate() {
            fill(values, &|v| directions[v] * radius * oval[axis] + center[axis]);
        }
        positions.resize(n, 0.0);
    }

    /// Moves the vertices outward to the next ring.
    fn grow(&self, draws: &mut impl Draws, scratch: &mut Scratch, simd: Simd) {
        let Scratch { directions, waves, vertices, positions, slopes, .. } = scratch;
        for (vertices, directions) in vertices.iter_mut().zip(&*directions) {
            draws.positions(positions);
            slopes.resize(positions.len(), 0);
            simd.run(Grow { polygon: self, positions, slopes, directions, waves, vertices });
        }
    }
}

/// One axis of a ring.
struct Grow<'a> {
    polygon: &'a Polygon,
    positions: &'a [f32],
    /// Scratch.
    slopes: &'a mut [u32],
    directions: &'a [f64],
    waves: &'a [Vec<f64>; 2],
    vertices: &'a mut [f64],
}

impl Kernel for Grow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self {
            polygon: &Polygon { noise: size, step, waves, .. }, positions, slopes, directions, ..
        } = self;
        // Beforehand: look-ups would keep the loops below from being vectorized.
        for (slopes, &position) in slopes.iter_mut().zip(positions) {
            *slopes = look_up(position);
        }
        let noises =
            positions.iter().zip(slopes).map(|(&position, &mut slopes)| f64::from(noise(position, slopes)));
        let moved = self.vertices.iter_mut().zip(directions).zip(noises);
        if waves.is_some() {
            let waves = self.waves[0].iter().zip(&self.waves[1]);
            for (((vertex, direction), noise), (first, second)) in moved.zip(waves) {
                *vertex -= direction * (noise * size - size - first - second - step);
            }
        } else {
            for ((vertex, direction), noise) in moved {
                *vertex -= direction * (noise * size * 2.0 - size - step);
            }
        }
    }
}

/// From the vertices of a ring to their cells.
struct Cells<'a> {
    x: &'a [f64],
    y: &'a [f64],
    center: [f64; 2],
    scale: [f64; 2],
    cells: &'a mut Vec<[i32; 2]>,
}

impl Kernel for Cells<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { x, y, center, scale, cells } = self;
        let cell = |(x, y)| [cut((x + center[0]) * scale[0]), cut((y + center[1]) * scale[1])];
        cells.extend(x.iter().zip(y).map(cell));
    }
}

/// Truncates toward zero, like `as i32` for numbers that fit, but vectorized.
#[inline(always)]
fn cut(v: f64) -> i32 {
    const WHOLE: f64 = (1u64 << 52) as f64; // from here on all are whole
    let nearest = v.abs() + WHOLE - WHOLE;
    let floor = if nearest > v.abs() { nearest - 1.0 } else { nearest };
    let cut = (floor + WHOLE).to_bits() as i32;
    if v < 0.0 { cut.wrapping_neg() } else { cut }
}

/// Checks a number.
pub(super) fn within(
    name: &'static str,
    accepted: &'static str,
    range: std::ops::RangeInclusive<f64>,
    given: f64,
) -> Result<f64, Error> {
    Error::unless(range.contains(&given), name, accepted, given).map(|()| given)
}

/// Checks a whole number, small and not negative.
pub(super) fn whole(
    name: &'static str,
    accepted: &'static str,
    range: std::ops::RangeInclusive<f64>,
    given: f64,
) -> Result<u32, Error> {
    Error::unless(given.fract() == 0.0, name, accepted, given)?;
    within(name, accepted, range, given).map(|given| given as u32)
}
