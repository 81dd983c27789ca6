//! One leaf: its kind, color, size and shape.

use std::f64::consts::{FRAC_PI_2, SQRT_2, TAU};

use crate::formula::leaves::DeadLeaves;
use crate::formula::leaves::draws::Draws;
use crate::surface::fill::Runs;

/// The kind of a leaf, in the order of the released code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Circle,
    Square,
    OrientedSquare,
    Rectangle,
    Triangle,
    Quadrilateral,
}

pub(super) const KINDS: [Kind; 6] =
    [Kind::Circle, Kind::Square, Kind::OrientedSquare, Kind::Rectangle, Kind::Triangle, Kind::Quadrilateral];

impl DeadLeaves {
    /// Draws a leaf: returns its color, and writes its shape to `runs`. Returns `None`, without
    /// computing corners, if no pixel of the square around the leaf is `wanted`.
    #[inline]
    pub(super) fn leaf(
        &self,
        draws: &mut impl Draws,
        size: [i64; 2],
        runs: &mut Runs,
        wanted: impl FnOnce([i64; 2], i64) -> bool,
    ) -> Option<[u8; 3]> {
        let kind = self.kind.unwrap_or_else(|| KINDS[draws.kind()]);
        let color = [0; 3].map(|_: u8| (255.0 * draws.unit()) as u8); // truncated
        let radius = self.law.radius(draws.unit());
        let radius = (radius * size[0].min(size[1]) as f64) as i64; // truncated
        let (reach, radius) = (radius.max(1), radius.max(1) as f64);
        let center = size.map(|side| (side as f64 * draws.unit()) as i64); // truncated
        let angles = match kind {
            Kind::Circle | Kind::Square => 0,
            Kind::OrientedSquare | Kind::Rectangle => 1,
            Kind::Triangle => 3,
            Kind::Quadrilateral => 4,
        };
        let mut units = [0.0; 4];
        units[..angles].fill_with(|| draws.unit());
        if !wanted(center, reach) {
            return None;
        }
        let around = |corners: &[[f64; 2]], runs: &mut Runs| {
            let mut pixels = [[0; 2]; 4];
            for (pixel, corner) in pixels.iter_mut().zip(corners) {
                // Truncated toward zero, also left of the image and above it.
                *pixel = [0, 1].map(|axis| (corner[axis] + center[axis] as f64) as i64);
            }
            runs.polygon(&pixels[..corners.len()], size);
        };
        let half = (radius * SQRT_2 / 2.0) as i64 as f64; // truncated
        match kind {
            Kind::Circle => runs.circle(center, reach, size),
            Kind::Square => rectangle(center, [half, half], size, runs),
            Kind::OrientedSquare => {
                let (sin, cos) = libm::sincos(TAU * units[0]);
                let turned = |[x, y]: [f64; 2]| [x * cos - y * sin, x * sin + y * cos];
                around(&[[-half, -half], [half, -half], [half, half], [-half, half]].map(turned), runs);
            }
            Kind::Rectangle => {
                let (sin, cos) = libm::sincos(FRAC_PI_2 * units[0]);
                rectangle(center, [radius * cos, radius * sin], size, runs);
            }
            Kind::Triangle | Kind::Quadrilateral => {
                units[..angles].sort_unstable_by(f64::total_cmp);
                let mut corners = [[0.0; 2]; 4];
                for (corner, unit) in corners.iter_mut().zip(&units[..angles]) {
                    let (sin, cos) = libm::sincos(TAU * unit); // the same on every platform
                    *corner = [radius * cos, radius * sin];
                }
                around(&corners[..angles], runs);
            }
        }
        Some(color)
    }
}

/// Adds a rectangle around a pixel, given half of its width and height.
fn rectangle([x, y]: [i64; 2], half: [f64; 2], size: [i64; 2], runs: &mut Runs) {
    let [dx, dy] = half.map(|side| side as i64); // truncated
    runs.rectangle([x - dx, y - dy], [x + dx, y + dy], size);
}
