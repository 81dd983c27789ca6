//! Bézier curves.
//!
//! The paper trains on Bezier-144 and Bezier-1024 (section 4.3 (iv)) and says only that they are
//! made "just as FractalDB". The definition here is ours. A category is the number of control points
//! per curve and the number of curves, which determine how much the curves bend and how much of the
//! image they fill. An instance has its own random control points. Curves are drawn with a 3×3 brush
//! (patch) or one pixel wide (point), without gaps.

use std::sync::Arc;

use serde::Deserialize;

use crate::address::{At, Purpose};
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::interface::{Formula, Outcome};
use crate::frame::Frame;
use crate::sample::Sample;
use crate::simd::{Kernel, Lanes};
use crate::surface::{LastPoint, Mark, lit, stroke};

/// The control points.
const CURVES: Purpose = Purpose(9);
/// Line segments per curve. On a 4096-pixel image they deviate by at most a tenth of a pixel from the
/// most strongly bent cubic. Part of the format.
const SEGMENTS: usize = 256;

/// One category: the number of control points per curve and the number of curves.
#[derive(Clone, Debug)]
pub struct Bezier {
    curves: u64,
    basis: Arc<Basis>,
}

impl Bezier {
    /// Creates categories from pairs of control points per curve (2 to 64) and curves (1 to 256).
    ///
    /// # Errors
    ///
    /// Returns an error if one of the numbers is out of range.
    pub fn from_counts(counts: &[[u64; 2]]) -> Result<Vec<Self>, Error> {
        let mut bases: [Option<Arc<Basis>>; 65] = [const { None }; 65];
        let category = |&[points, curves]: &[u64; 2]| {
            let fits = (2..=64).contains(&points);
            Error::unless(fits, "the control points of a curve", "between 2 and 64", points as f64)?;
            let fits = (1..=256).contains(&curves);
            Error::unless(fits, "the curves of a category", "between 1 and 256", curves as f64)?;
            let basis = &mut bases[points as usize]; // at most 64
            let basis = basis.get_or_insert_with(|| Arc::new(Basis::new(points as usize)));
            Ok(Self { curves, basis: basis.clone() })
        };
        counts.iter().map(category).collect()
    }

    fn draw_curves(&self, at: At<'_>, style: &Strokes, scratch: &mut Scratch) {
        let Scratch { surface, path } = scratch;
        let Frame { height, width, .. } = *at.frame;
        let (margin, mut rng) = (style.margin as f64, at.rng(CURVES));
        let mut pen = surface.pen(height, width);
        for _ in 0..self.curves {
            let points = 0..self.basis.points();
            let controls = points.map(|_| {
                let x = rng.between(margin, width as f64 - margin) as f32;
                [x, rng.between(margin, height as f64 - margin) as f32]
            });
            path.controls.clear();
            path.controls.extend(controls);
            at.simd.run(Trace { basis: &self.basis, path });
            // A coordinate just inside the edge may round to the edge.
            let cell = |[x, y]: [f32; 2]| [(x as usize).min(width - 1), (y as usize).min(height - 1)];
            let vertices = path.x.iter().zip(&path.y).map(|(&x, &y)| cell([x, y]));
            stroke::polyline(vertices, |[x, y]| pen.point(y, x));
        }
    }
}

/// The settings of a family that draws strokes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strokes {
    /// The width of a stroke.
    pub draw: Width,
    /// Empty pixels on each side of the control points.
    pub margin: usize,
}

/// The width of a stroke, with the names used for the points of an IFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Width {
    /// One pixel.
    Point,
    /// A 3×3 brush.
    Patch,
}

impl Default for Strokes {
    fn default() -> Self {
        Self { draw: Width::Patch, margin: 6 }
    }
}

impl crate::formula::interface::Style for Strokes {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        frame.check_margin(self.margin)
    }

    fn scaled(&self, from: &Frame, to: &Frame) -> Self {
        Self { margin: to.scaled_margin(self.margin, from), ..self.clone() }
    }
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    surface: LastPoint,
    path: Path,
}

impl Formula for Bezier {
    const NAME: &'static str = "bezier";
    type Style = Strokes;
    type Scratch = Scratch;

    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        Self::from_counts(parameters.u64_rows("counts")?)
    }

    /// Renders the curves. A crop that shows none of them is degenerate.
    fn draw(&self, at: At<'_>, style: &Strokes, scratch: &mut Scratch, sample: &mut Sample<'_>) -> Outcome {
        self.draw_curves(at, style, scratch);
        let color = at.frame.color;
        scratch.surface.resolve(at.window(), style.mark(), color, at.simd, sample.image);
        if lit(sample.image, color, at.simd) > 0 { Outcome::Shown } else { Outcome::Degenerate }
    }

    /// Renders the curves and moves the window to one of them.
    fn draw_fallback(&self, at: At<'_>, style: &Strokes, scratch: &mut Scratch, sample: &mut Sample<'_>) {
        self.draw_curves(at, style, scratch);
        let mut window = at.window();
        window.show(scratch.surface.newest_cell());
        scratch.surface.resolve(window, style.mark(), at.frame.color, at.simd, sample.image);
    }
}

impl Strokes {
    fn mark(&self) -> Mark<'static> {
        if self.draw == Width::Point { Mark::Pixel } else { Mark::SOLID }
    }
}

/// The weight of each control point along a curve (Bernstein polynomials).
#[derive(Debug)]
struct Basis {
    /// One row per control point, one column per vertex of the polyline.
    weights: Vec<[f32; SEGMENTS + 1]>,
}

impl Basis {
    fn new(points: usize) -> Self {
        let mut weights = vec![[0.0; SEGMENTS + 1]; points];
        for vertex in 0..=SEGMENTS {
            let t = vertex as f64 / SEGMENTS as f64;
            // De Casteljau's recurrence applied to the weights: stable for any degree, without powers.
            let mut column = vec![0.0; points];
            column[0] = 1.0;
            for degree in 1..points {
                for j in (1..=degree).rev() {
                    column[j] = column[j] * (1.0 - t) + column[j - 1] * t;
                }
                column[0] *= 1.0 - t;
            }
            for (row, weight) in weights.iter_mut().zip(column) {
                row[vertex] = weight as f32;
            }
        }
        Self { weights }
    }

    fn points(&self) -> usize {
        self.weights.len()
    }
}

/// One curve.
struct Path {
    controls: Vec<[f32; 2]>,
    /// The vertices of the polyline.
    x: [f32; SEGMENTS + 1],
    y: [f32; SEGMENTS + 1],
}

impl Default for Path {
    fn default() -> Self {
        Self { controls: vec![], x: [0.0; SEGMENTS + 1], y: [0.0; SEGMENTS + 1] }
    }
}

/// Computes the vertices of the polyline.
struct Trace<'a> {
    basis: &'a Basis,
    path: &'a mut Path,
}

impl Kernel for Trace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Path { controls, x, y } = self.path;
        x.fill(0.0);
        y.fill(0.0);
        for (&[to_x, to_y], weights) in controls.iter().zip(&self.basis.weights) {
            for ((x, y), &weight) in x.iter_mut().zip(&mut *y).zip(weights) {
                *x += weight * to_x;
                *y += weight * to_y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_the_bernstein_polynomials() {
        let choose = |n: u32, k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
        for points in 2..=64 {
            let basis = Basis::new(points);
            for vertex in (0..=SEGMENTS).step_by(16) {
                let (t, n) = (vertex as f64 / SEGMENTS as f64, points as u32 - 1);
                for k in 0..=n {
                    let expected = choose(n, k) * t.powi(k as i32) * (1.0 - t).powi((n - k) as i32);
                    let weight = f64::from(basis.weights[k as usize][vertex]);
                    assert!((weight - expected).abs() < 1e-6, "{points} {vertex} {k}");
                }
            }
        }
    }
}
