//! Bézier curves.
//!
//! The paper trains on Bezier-144 and Bezier-1024 (section 4.3 (iv)) and says only that they are
//! made "just as FractalDB". The definition here is ours: a category is how many control points
//! a curve has and how many curves there are, which decide how it bends and how full it is; an
//! instance is where the control points lie. Curves are drawn with a 3×3 brush (patch) or one
//! pixel wide (point), from cell to neighbouring cell, so that there is no gap along them.

use std::sync::Arc;

use crate::address::{Address, Purpose, Rng};
use crate::canvas::{Masks, lit};
use crate::error::Error;
use crate::formula::{Formula, Scratch};
use crate::machine::Watch;
use crate::rendering::Rendering;
use crate::simd::{Kernel, Lanes};
use crate::window::{Window, unmirrored};

/// Straight pieces of a curve: at 4096 pixels one is a tenth of a pixel from the curve, at
/// most, for the cubics that bend most. Part of the format.
const PIECES: usize = 256;
/// Other control points are drawn so often when a crop shows none of the curves, before the
/// window is moved to one. Part of the format.
const REDRAWS: u64 = 8;

/// One category: how many control points a curve has, and how many curves there are.
#[derive(Clone, Debug)]
pub struct Bezier {
    curves: u64,
    basis: Arc<Basis>,
}

impl Bezier {
    /// Makes categories of (control points, curves), 2…64 and 1…256.
    pub fn family(counts: &[[u64; 2]]) -> Result<Vec<Self>, Error> {
        let mut bases: [Option<Arc<Basis>>; 65] = [const { None }; 65];
        let category = |&[points, curves]: &[u64; 2]| {
            if !(2..=64).contains(&points) {
                return Err(Error::ControlPoints(points));
            }
            if !(1..=256).contains(&curves) {
                return Err(Error::Curves(curves));
            }
            let basis = &mut bases[points as usize]; // at most 64
            let basis = basis.get_or_insert_with(|| Arc::new(Basis::new(points as usize)));
            Ok(Self { curves, basis: basis.clone() })
        };
        counts.iter().map(category).collect()
    }

    fn draw_curves(&self, rng: &mut Rng, rendering: &Rendering, scratch: &mut Scratch) {
        let Scratch { simd, canvas, path, .. } = scratch;
        let Rendering { height, width, pad, .. } = *rendering;
        let pad = pad as f64;
        let mut pen = canvas.pen(height, width);
        for _ in 0..self.curves {
            let points = 0..self.basis.points();
            let controls = points.map(|_| {
                let x = rng.between(pad, width as f64 - pad) as f32;
                [x, rng.between(pad, height as f64 - pad) as f32]
            });
            path.controls.clear();
            path.controls.extend(controls);
            simd.run(Trace { basis: &self.basis, path });
            // A number just under the edge may round to it.
            let cell = |[x, y]: [f32; 2]| [(x as usize).min(width - 1), (y as usize).min(height - 1)];
            let ends = path.x.iter().zip(&path.y).map(|(&x, &y)| cell([x, y]));
            let mut last = None;
            for end in ends {
                line(last.unwrap_or(end), end, |[x, y]| pen.dot(y, x));
                last = Some(end);
            }
        }
    }
}

impl Formula for Bezier {
    fn draw(
        &self,
        address: Address,
        rendering: &Rendering,
        scratch: &mut Scratch,
        watch: &dyn Watch,
        pixels: &mut [u8],
    ) -> u8 {
        let shared = unmirrored(address, rendering);
        let mut attempt = 0;
        loop {
            self.draw_curves(&mut shared.rng(Purpose::Curves, attempt), rendering, scratch);
            let mut window = Window::of(address, attempt, rendering);
            if attempt > REDRAWS {
                window.show(scratch.canvas.newest_cell(), rendering);
            }
            let simd = scratch.simd;
            scratch.canvas.resolve(window, rendering, Masks::SOLID, simd, pixels);
            if !rendering.redraw || lit(pixels, rendering, simd) > 0 || watch.stopped() {
                return attempt as u8; // at most one more than REDRAWS
            }
            attempt += 1;
        }
    }
}

/// Walks from one cell to another, each step to one of the eight neighbours; the first cell is
/// left out unless it is the last as well.
fn line(from: [usize; 2], to: [usize; 2], mut dot: impl FnMut([usize; 2])) {
    let way = |axis: usize| to[axis] as i64 - from[axis] as i64;
    let steps = way(0).abs().max(way(1).abs()).max(1);
    // In parts of 2⁻³² of a cell: over 4096 steps the error stays far below a cell.
    let step = [0, 1].map(|axis| (way(axis) << 32) / steps);
    let mut at = from.map(|cell| ((cell as i64) << 32) + (1 << 31));
    for _ in 0..steps {
        at = [at[0] + step[0], at[1] + step[1]];
        dot(at.map(|part| (part >> 32) as usize)); // between the two cells
    }
}

/// How much each control point counts along a curve (Bernstein polynomials).
#[derive(Debug)]
struct Basis {
    /// One row a control point, one column an end of a piece.
    weights: Vec<[f32; PIECES + 1]>,
}

impl Basis {
    fn new(points: usize) -> Self {
        let mut weights = vec![[0.0; PIECES + 1]; points];
        for piece in 0..=PIECES {
            let t = piece as f64 / PIECES as f64;
            // De Casteljau's recurrence, upside down: stable for any degree, no power is taken.
            let mut column = vec![0.0; points];
            column[0] = 1.0;
            for degree in 1..points {
                for j in (1..=degree).rev() {
                    column[j] = column[j] * (1.0 - t) + column[j - 1] * t;
                }
                column[0] *= 1.0 - t;
            }
            for (row, weight) in weights.iter_mut().zip(column) {
                row[piece] = weight as f32;
            }
        }
        Self { weights }
    }

    fn points(&self) -> usize {
        self.weights.len()
    }
}

/// One curve in the making; kept from picture to picture.
pub(crate) struct Path {
    controls: Vec<[f32; 2]>,
    /// The ends of the pieces.
    x: [f32; PIECES + 1],
    y: [f32; PIECES + 1],
}

impl Default for Path {
    fn default() -> Self {
        Self { controls: vec![], x: [0.0; PIECES + 1], y: [0.0; PIECES + 1] }
    }
}

/// Places the ends of the pieces.
struct Trace<'a> {
    basis: &'a Basis,
    path: &'a mut Path,
}

impl Kernel for Trace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // No lane is named here: compiled for each path, the loops become its vectors.
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
            for piece in (0..=PIECES).step_by(16) {
                let (t, n) = (piece as f64 / PIECES as f64, points as u32 - 1);
                for k in 0..=n {
                    let expected = choose(n, k) * t.powi(k as i32) * (1.0 - t).powi((n - k) as i32);
                    let weight = f64::from(basis.weights[k as usize][piece]);
                    assert!((weight - expected).abs() < 1e-6, "{points} {piece} {k}");
                }
            }
        }
    }

    #[test]
    fn a_line_goes_from_neighbour_to_neighbour_and_ends_where_it_should() {
        for from in [[0, 0], [40, 7], [4095, 4095], [3, 3]] {
            for to in [[0, 0], [4095, 0], [17, 4000], [3, 4], [3, 3]] {
                let mut last = from;
                line(from, to, |cell| {
                    assert!(cell[0].abs_diff(last[0]) <= 1 && cell[1].abs_diff(last[1]) <= 1);
                    last = cell;
                });
                assert_eq!(last, to, "{from:?}");
            }
        }
    }
}
