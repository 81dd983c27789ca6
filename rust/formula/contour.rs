//! Radial contours (RCDB; Kataoka et al., "Replacing Labeled Real-image Datasets with
//! Auto-generated Contours", CVPR 2022): nested polygons on a white background, each displaced
//! outward from the previous one by its own noise and drawn in its own gray.
//!
//! A category is the number of vertices and rings, and the strength of the noise. An instance has its
//! own center, initial radius, stretch and noise. The rules are those of the released program (MIT
//! license, AIST); the code and the random numbers are ours. Lengths are for an image of 512 pixels
//! and scale with the image.

use crate::address::{At, Purpose, Rng};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, NoStyle, Outcome};
use crate::formula::perlin::PERLIN;
use crate::sample::Sample;
use crate::surface::{show_gray, stroke};

/// Center, radius, stretch, grays and noise.
const CONTOUR: Purpose = Purpose(14);
/// The gray of the background.
const BACKGROUND: u8 = 255;
/// The image size for which lengths are given.
const UNIT: f64 = 512.0;

/// One category.
#[derive(Clone, Debug, PartialEq)]
pub struct Contour {
    vertices: usize,
    rings: usize,
    /// λ, how far the noise displaces a vertex.
    noise: f64,
    /// w, how far each ring is displaced in addition. (The program calls it the line width.)
    step: f64,
}

impl Contour {
    /// Creates a category from its vertices (3 to 1000), rings (1 to 200), noise (0 to 16) and step
    /// (0 to 16).
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is out of range, or if vertices or rings is not whole.
    pub fn new([vertices, rings, noise, step]: [f64; 4]) -> Result<Self, Error> {
        let whole =
            |value: f64, range: std::ops::RangeInclusive<f64>| value.fract() == 0.0 && range.contains(&value);
        let out_of_range = |name, accepted, given| Err(Error::Number { name, accepted, given });
        if !whole(vertices, 3.0..=1000.0) {
            return out_of_range("vertices", "a whole number between 3 and 1000", vertices);
        }
        if !whole(rings, 1.0..=200.0) {
            return out_of_range("rings", "a whole number between 1 and 200", rings);
        }
        for (name, value) in [("noise", noise), ("step", step)] {
            if !(0.0..=16.0).contains(&value) {
                return out_of_range(name, "between 0 and 16", value);
            }
        }
        // Both were checked to be small whole numbers.
        Ok(Self { vertices: vertices as usize, rings: rings as usize, noise, step })
    }

    /// Draws the rings around the center.
    fn draw_rings(&self, at: At<'_>, rng: &mut Rng, start: Start, scratch: &mut Scratch) {
        let Scratch { directions, vertices, cells } = scratch;
        let (height, width) = (at.frame.height, at.frame.width);
        cells.clear();
        cells.resize(height * width, BACKGROUND);
        let n = self.vertices;
        directions.clear();
        directions.extend((0..n).map(|v| {
            let angle = std::f64::consts::TAU / n as f64 * v as f64;
            [libm::cos(angle), libm::sin(angle)] // the same on every platform
        }));
        vertices.clear();
        vertices.extend(directions.iter().map(|[cos, sin]| {
            [cos * start.radius * start.stretch[0], sin * start.radius * start.stretch[1]]
        }));
        let scale = [width as f64 / UNIT, height as f64 / UNIT];
        let [cy, cx] = start.center;
        for _ in 0..self.rings {
            if at.stopped() {
                return;
            }
            let gray = rng.below(257).min(255) as u8; // 256 is stored as 255
            for axis in 0..2 {
                for (vertex, direction) in vertices.iter_mut().zip(&*directions) {
                    let noise = f64::from(noise(rng.between(0.0, 10_000.0) as f32));
                    vertex[axis] -= direction[axis] * (noise * self.noise * 2.0 - self.noise - self.step);
                }
            }
            let pixel = |[x, y]: [f64; 2]| [(x + cx) * scale[0], (y + cy) * scale[1]].map(|v| v as i64);
            let closed = vertices.iter().zip(vertices.iter().cycle().skip(1));
            for (&from, &to) in closed {
                stroke::pillow(pixel(from), pixel(to), |[x, y]| {
                    if (0..width as i64).contains(&x) && (0..height as i64).contains(&y) {
                        // Not negative. On the surface, rows count from the bottom.
                        cells[(height - 1 - y as usize) * width + x as usize] = gray;
                    }
                });
            }
        }
    }
}

/// The random parameters of an instance.
#[derive(Clone, Copy, Debug)]
struct Start {
    radius: f64,
    /// Factors in x and y.
    stretch: [f64; 2],
    /// y and x.
    center: [f64; 2],
}

impl Start {
    fn draw(rng: &mut Rng) -> Self {
        let stretch = [rng.between(1.0, 2.0), rng.between(1.0, 2.0)];
        let radius = rng.below(101) as f64;
        let mut coordinate = || (UNIT + rng.below(801) as f64 - 400.0) / 2.0;
        Self { stretch, radius, center: [coordinate(), coordinate()] }
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    /// The cosine and sine of the angle of each vertex.
    directions: Vec<[f64; 2]>,
    vertices: Vec<[f64; 2]>,
    cells: Vec<u8>,
}

impl Formula for Contour {
    const NAME: &'static str = "rcdb";
    type Style = NoStyle;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        parameters.rows("contours")?.iter().map(|&row| Self::new(row)).collect()
    }

    /// Draws the rings. An image that shows none of them is degenerate.
    fn draw(&self, at: At<'_>, _: &NoStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        let mut rng = at.rng(CONTOUR);
        let start = Start::draw(&mut rng);
        self.draw_rings(at, &mut rng, start, scratch);
        show_gray(&scratch.cells, at.window(), at.frame.color, sample.image);
        if sample.image.iter().any(|&pixel| pixel != BACKGROUND) {
            Outcome::Shown
        } else {
            Outcome::Degenerate
        }
    }

    /// Draws a black line across the image and moves the window to it.
    fn draw_fallback(&self, at: At<'_>, _: &NoStyle, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        let (height, width) = (at.frame.height, at.frame.width);
        scratch.cells.clear();
        scratch.cells.resize(height * width, BACKGROUND);
        scratch.cells[height / 2 * width..][..width].fill(0);
        let mut window = at.window();
        window.show((height / 2, width / 2));
        show_gray(&scratch.cells, window, at.frame.color, sample.image);
    }
}

/// Computes one-dimensional Perlin noise in f32 as the Python package "noise" does, including its
/// bug: the gradients that should be negative are all −1.
fn noise(x: f32) -> f32 {
    let floor = x.floor();
    let i = floor as i64 & 1023; // floor is in 0..10_000
    let hash = |i: i64| PERLIN[(i & 255) as usize];
    let slope = |hash: u8| if hash & 8 == 0 { f32::from(hash & 7) + 1.0 } else { -1.0 };
    let t = x - floor;
    let fade = t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let a = slope(hash(i)) * t;
    let b = slope(hash((i + 1) & 1023)) * (t - 1.0);
    (a + fade * (b - a)) * 0.4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are from the Python package "noise" 1.2.2.
    #[test]
    fn the_noise_matches_the_package() {
        for (x, expected) in [
            (0.5, 0.699_999_988_079_071),
            (1.25, 0.120_703_123_509_883_88),
            (123.456, 0.834_133_327_007_293_7),
            (1023.5, -0.300_000_011_920_928_96),
            (5000.1, 0.265_508_383_512_496_95),
            (9999.75, 0.151_757_821_440_696_72),
        ] {
            assert_eq!(f64::from(noise(x)), expected, "{x}");
        }
    }

    #[test]
    fn the_noise_has_the_mean_and_deviation_of_the_package() {
        let mut rng = Rng::new(1);
        let draws: Vec<f64> =
            (0..100_000).map(|_| f64::from(noise(rng.between(0.0, 10_000.0) as f32))).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let deviation = (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
        assert!((mean + 0.0003).abs() < 0.005 && (deviation - 0.329).abs() < 0.003, "{mean} {deviation}");
    }
}
