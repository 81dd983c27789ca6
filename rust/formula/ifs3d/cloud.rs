//! The points of an instance, in order and normalized.

use crate::simd::{Kernel, Lanes, Simd};

/// Partial sums and extremes kept side by side; their order is the same on every backend.
const SIDE_BY_SIDE: usize = 16;

/// Points, axis by axis. Normalizing scales the coordinates of all axes together to a span of 2, then shifts
/// each axis to a mean of 0.
#[derive(Default)]
pub(crate) struct Cloud {
    pub(super) axes: [Vec<f32>; 3],
}

impl Cloud {
    /// Returns the number of points.
    pub(crate) fn len(&self) -> usize {
        self.axes[0].len()
    }

    /// Returns the points in order.
    #[cfg(any(test, feature = "python"))]
    pub(crate) fn points(&self) -> impl Iterator<Item = [f32; 3]> {
        (0..self.len()).map(|i| [0, 1, 2].map(|axis: usize| self.axes[axis][i]))
    }

    pub(super) fn resize(&mut self, count: usize) {
        self.axes.iter_mut().for_each(|axis| axis.resize(count, 0.0));
    }

    pub(super) fn set(&mut self, i: usize, point: [f32; 3]) {
        (0..3).for_each(|axis| self.axes[axis][i] = point[axis]);
    }

    /// Normalizes the points as the released code does, and returns the variance along each axis.
    /// Returns `None` if a coordinate is NaN or its absolute value is above `limit`. If all points are the
    /// same, they move to the origin.
    pub(super) fn normalize(&mut self, limit: f32, simd: Simd) -> Option<[f64; 3]> {
        let measured = self.axes.each_ref().map(|axis| simd.run(Measure(axis)));
        let low =
            measured.iter().fold(f32::INFINITY, |low, axis| if axis.low < low { axis.low } else { low });
        let high = measured
            .iter()
            .fold(-f32::INFINITY, |high, axis| if axis.high > high { axis.high } else { high });
        let sums = measured.map(|axis| axis.sum);
        if !(sums.iter().all(|sum| sum.is_finite()) && -limit <= low && high <= limit) {
            return None;
        }
        let (range, count) = (f64::from(high) - f64::from(low), self.len() as f64);
        let scale = if range > 1e-30 { 2.0 / range } else { 0.0 };
        let mut variances = [0.0; 3];
        for ((axis, sum), variance) in self.axes.iter_mut().zip(sums).zip(&mut variances) {
            *variance = simd.run(Stretch { axis, mean: sum / count, scale }) / count;
        }
        Some(variances)
    }
}

struct Measured {
    low: f32,
    high: f32,
    sum: f64,
}

/// Finds the extremes and the sum. (Extremes ignore NaN; the sum does not.)
struct Measure<'a>(&'a [f32]);

impl Kernel for Measure<'_> {
    type Output = Measured;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> Measured {
        // Plain loops here and below, which the compiler vectorizes for each backend.
        let (mut low, mut high) = ([f32::INFINITY; SIDE_BY_SIDE], [-f32::INFINITY; SIDE_BY_SIDE]);
        let mut sums = [0.0; SIDE_BY_SIDE];
        let (whole, rest) = self.0.as_chunks::<SIDE_BY_SIDE>();
        for values in whole {
            for i in 0..SIDE_BY_SIDE {
                let v = values[i];
                low[i] = if v < low[i] { v } else { low[i] };
                high[i] = if v > high[i] { v } else { high[i] };
                sums[i] += f64::from(v);
            }
        }
        for (i, &v) in rest.iter().enumerate() {
            low[i] = if v < low[i] { v } else { low[i] };
            high[i] = if v > high[i] { v } else { high[i] };
            sums[i] += f64::from(v);
        }
        let low = low.into_iter().fold(f32::INFINITY, |a, b| if b < a { b } else { a });
        let high = high.into_iter().fold(-f32::INFINITY, |a, b| if b > a { b } else { a });
        Measured { low, high, sum: sums.into_iter().sum() }
    }
}

/// Shifts the mean to 0 and scales; returns the sum of squares.
struct Stretch<'a> {
    axis: &'a mut [f32],
    mean: f64,
    scale: f64,
}

impl Kernel for Stretch<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> f64 {
        let Self { axis, mean, scale } = self;
        let mut squares = [0.0; SIDE_BY_SIDE];
        let (whole, rest) = axis.as_chunks_mut::<SIDE_BY_SIDE>();
        for values in whole {
            for i in 0..SIDE_BY_SIDE {
                let v = (f64::from(values[i]) - mean) * scale;
                squares[i] += v * v;
                values[i] = v as f32;
            }
        }
        for (i, value) in rest.iter_mut().enumerate() {
            let v = (f64::from(*value) - mean) * scale;
            squares[i] += v * v;
            *value = v as f32;
        }
        squares.into_iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(points: &[[f32; 3]]) -> Cloud {
        Cloud { axes: [0, 1, 2].map(|axis: usize| points.iter().map(|point| point[axis]).collect()) }
    }

    #[test]
    fn one_scale_for_all_axes_and_a_mean_for_each() {
        // The numbers lie between −1 and 3.
        let mut all = cloud(&[[0.0, 1.0, -1.0], [1.0, 1.0, 3.0]]);
        let variances = all.normalize(1e6, Simd::PLAIN).unwrap();
        assert!(all.points().eq([[-0.25, 0.0, -1.0], [0.25, 0.0, 1.0]]));
        assert_eq!(variances, [0.0625, 0.0, 1.0]);
    }

    #[test]
    fn points_that_are_all_the_same_come_to_lie_on_the_origin() {
        let mut all = cloud(&[[3.0; 3]; 40]);
        assert_eq!(all.normalize(1e6, Simd::PLAIN), Some([0.0; 3]));
        assert!(all.points().all(|point| point == [0.0; 3]));
    }

    #[test]
    fn what_has_escaped_or_is_no_number_is_noticed() {
        for wrong in [2e6, -2e6, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for at in [0, 15, 16, 39] {
                let mut points = [[0.5, 0.25, 0.0]; 40];
                points[at][1] = wrong;
                assert_eq!(cloud(&points).normalize(1e6, Simd::PLAIN), None, "{wrong} at {at}");
            }
        }
    }
}
