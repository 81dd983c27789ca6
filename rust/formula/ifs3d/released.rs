//! What the released code does differently: one orbit in float64 from the origin, random numbers from
//! NumPy's legacy generator, and map probabilities from the determinant that NumPy computes.

use crate::formula::ifs3d::Map;
use crate::formula::ifs3d::cloud::Cloud;
use crate::formula::system::choice::{CHUNK, Choice};
use crate::mersenne::Mersenne;
use crate::simd::{Kernel, Lanes, Simd};

/// The float64 orbit of the released code; the memory is kept from image to image.
#[derive(Default)]
pub(super) struct Replay {
    axes: [Vec<f64>; 3],
}

impl Replay {
    /// Plays the orbit of `draws` random numbers, normalizes it and fills `cloud` with one point
    /// fewer, since the last number is not used. Returns the variance along each axis, or `None` if
    /// the orbit overflows or all of its points are the same.
    pub(super) fn play(
        &mut self,
        maps: &[Map],
        probabilities: &[f64],
        mut numbers: Mersenne,
        draws: usize,
        simd: Simd,
        cloud: &mut Cloud,
    ) -> Option<[f64; 3]> {
        let choice = Choice::new(probabilities);
        let count = draws - 1;
        self.axes.iter_mut().for_each(|axis| axis.resize(count, 0.0));
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut units, mut chosen) = ([0.0; CHUNK], [0u64; CHUNK]);
        for from in (0..count).step_by(CHUNK) {
            let range = from..count.min(from + CHUNK);
            numbers.units(&mut units[..range.len()]);
            choice.choose(&units, &mut chosen, simd);
            let [xs, ys, zs] = self.axes.each_mut().map(|axis| &mut axis[range.clone()]);
            for (((to_x, to_y), to_z), &map) in xs.iter_mut().zip(ys).zip(zs).zip(&chosen) {
                // Because of rounding, no map may be chosen; then the point repeats.
                if let Some(&[a, b, c, d, e, f, g, h, i, j, k, l]) = maps.get(map as usize) {
                    (x, y, z) =
                        (x * a + y * b + z * c + j, x * d + y * e + z * f + k, x * g + y * h + z * i + l);
                }
                (*to_x, *to_y, *to_z) = (x, y, z);
                // These cost nothing here, since each point waits for the previous one.
                for v in [x, y, z] {
                    low = if v < low { v } else { low };
                    high = if v > high { v } else { high };
                }
            }
            if !(x.is_finite() && y.is_finite() && z.is_finite()) {
                return None; // later points will not be finite either
            }
        }
        self.normalize([low, high], draws, simd, cloud)
    }

    /// Normalizes all axes by their common extremes, and shifts each by its sum divided by the number of
    /// draws, which is one more than the number of points.
    fn normalize(
        &mut self,
        [low, high]: [f64; 2],
        draws: usize,
        simd: Simd,
        cloud: &mut Cloud,
    ) -> Option<[f64; 3]> {
        let range = high - low;
        if !(range > 0.0 && range.is_finite()) {
            return None; // 0 / 0 is NaN
        }
        cloud.resize(draws - 1);
        let mut variances = [0.0; 3];
        for ((axis, to), variance) in self.axes.iter_mut().zip(&mut cloud.axes).zip(&mut variances) {
            *variance = simd.run(Normalize { axis, to, low, range, draws });
        }
        Some(variances)
    }
}

/// Normalizes one axis and returns its variance.
struct Normalize<'a> {
    axis: &'a mut [f64],
    to: &'a mut [f32],
    low: f64,
    range: f64,
    draws: usize,
}

impl Kernel for Normalize<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) -> f64 {
        // Plain loops here and below, which the compiler vectorizes for each backend.
        let Self { axis, to, low, range, draws } = self;
        axis.iter_mut().for_each(|v| *v = ((*v - low) / range) * 2.0 - 1.0);
        let middle = sum(axis, |v| v) / draws as f64;
        for (to, v) in to.iter_mut().zip(&mut *axis) {
            *v -= middle;
            *to = *v as f32;
        }
        let count = axis.len() as f64;
        let mean = sum(axis, |v| v) / count;
        sum(axis, |v| (v - mean) * (v - mean)) / count
    }
}

/// Sums in eight partial sums, as NumPy does.
#[inline(always)]
fn sum(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for values in whole {
        for (sum, &v) in sums.iter_mut().zip(values) {
            *sum += of(v);
        }
    }
    for (sum, &v) in sums.iter_mut().zip(rest) {
        *sum += of(v);
    }
    sums.into_iter().sum()
}

/// Returns |det A| with the bits of `numpy.linalg.det`: LAPACK's LU factors of a 3×3 matrix, column by
/// column, with the inverse of each pivot and the one fused step that OpenBLAS takes on AVX-512, and then the
/// exponential of the sum of the logarithms. Logarithm and exponential are the platform's, as in NumPy: with
/// libraries other than glibc, the last bit may differ.
pub(super) fn determinant(&[a, b, c, d, e, f, g, h, i, ..]: &Map) -> f64 {
    let mut rows = [[a, b, c], [d, e, f], [g, h, i]];
    let pivot = (1..3).fold(0, |best, row| if rows[row][0].abs() > rows[best][0].abs() { row } else { best });
    rows.swap(0, pivot);
    let inverse = 1.0 / rows[0][0];
    for row in [1, 2] {
        rows[row][0] *= inverse;
        rows[row][1] -= rows[row][0] * rows[0][1];
    }
    if rows[2][1].abs() > rows[1][1].abs() {
        rows.swap(1, 2);
    }
    let [first, [below, second, mut third], [left, right, mut last]] = rows;
    if first[0] == 0.0 || second == 0.0 {
        return 0.0; // as LAPACK does, which does not divide by such a pivot
    }
    third -= below * first[2];
    last -= (right * (1.0 / second)).mul_add(third, left * first[2]);
    (first[0].abs().ln() + second.abs().ln() + last.abs().ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;
    use crate::formula::ifs3d::volume;

    #[test]
    fn the_determinant_is_one() {
        let mut rng = Rng::new(1);
        for _ in 0..1000 {
            let map: Map = std::array::from_fn(|_| rng.between(-1.0, 1.0));
            assert!((determinant(&map) - volume(&map)).abs() < 1e-12);
        }
        let of = |rows: [f64; 9]| determinant(&std::array::from_fn(|i| if i < 9 { rows[i] } else { 1.0 }));
        for pivots_of_zero in [
            [0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.25],
            [0.5, 0.0, 0.5, 0.0, 0.0, 0.5, 0.0, 0.0, 0.25],
            [0.5, 0.25, 0.0, 0.5, 0.25, 0.0, 0.0, 0.0, 0.25],
            [0.0; 9],
        ] {
            assert_eq!(of(pivots_of_zero), 0.0);
        }
        assert_eq!(of([0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.25, 0.25, 0.0]), 0.0); // the last pivot
    }

    #[test]
    fn an_orbit_that_leaves_the_finite_numbers_is_noticed() {
        let mut map = [0.0; 12];
        (map[0], map[9]) = (2.0, 1.0);
        let (mut replay, mut cloud) = (Replay::default(), Cloud::default());
        let mut play = |map: Map| {
            let numbers = Mersenne::numpy(1);
            replay.play(&[map], &[1.0], numbers, 10_000, Simd::PLAIN, &mut cloud)
        };
        assert_eq!(play(map), None);
        assert_eq!(play([0.0; 12]), None, "all points are the same");
    }
}
