//! The chaos game in space: sixteen orbits of one system, played side by side.
//!
//! In a single orbit, every point waits for the previous one. Sixteen orbits fill the lanes: 10,000 points
//! take 10 µs, normalized, whereas the released code's single orbit takes 85 µs (AMD EPYC, Zen 5,
//! AVX-512).
//!
//! The points should have the distribution of one long orbit from the origin, so all orbits start there. The
//! points of the first orbit count from the start, as in the released code, and those of the others after a
//! warm-up. For 118 random instances of the published categories, the means of three statistics over 100
//! images differ from those of single orbits by chance alone (mean z² 1.01). With more orbits, each would be
//! shorter and spend a larger share on its warm-up.

use crate::address::Rng;
use crate::formula::ifs3d::Map;
use crate::formula::ifs3d::cloud::Cloud;
use crate::formula::system::ESCAPE_RADIUS;
use crate::formula::system::xoroshiro::Xoroshiro;
use crate::simd::{Kernel, Lanes, Simd};

/// Orbits played side by side. Part of the format.
pub(super) const ORBITS: usize = 16;
/// Warm-up steps of each orbit; only the first orbit keeps their points. Part of the format.
pub(super) const WARM_UP: usize = 128;

/// The largest number of maps that fit a SIMD lookup; larger systems are played orbit by orbit.
const FEW: usize = 8;
/// Steps between checks for escaped orbits. Not part of the format, since orbits that are not finite stay
/// that way.
const STEPS_PER_CHECK: usize = 256;
/// Bits of a random word that choose the map.
const BITS: u32 = 30;

/// The maps, laid out for the game. Every instance reuses the memory.
#[derive(Default)]
pub(super) struct Maps {
    /// For each map but the last, a bound: random words below it choose this map or an earlier one.
    bounds: Vec<u32>,
    /// Coefficients a…l of each map.
    coefficients: Vec<[f32; 12]>,
}

impl Maps {
    /// Lays out `maps`: a random number chooses the first map whose cumulative probability is larger.
    pub(super) fn build(&mut self, maps: &[Map], probabilities: &[f64]) {
        let total: f64 = probabilities.iter().sum();
        let mut sum = 0.0;
        self.bounds.clear();
        self.bounds.extend(probabilities[..maps.len() - 1].iter().map(|p| {
            sum += p;
            (sum / total * f64::from(1u32 << BITS)).round() as u32 // at most 2³⁰, or an ulp above: the same
        }));
        self.coefficients.clear();
        self.coefficients.extend(maps.iter().map(|map| map.map(|coefficient| coefficient as f32)));
    }

    fn chosen(&self, word: u32) -> &[f32; 12] {
        let word = word >> (32 - BITS);
        &self.coefficients[self.bounds.iter().filter(|&&bound| bound <= word).count()]
    }
}

/// Plays the chaos game and fills `cloud` with `count` points, not normalized yet; returns whether all
/// orbits have stayed within `ESCAPE_RADIUS`.
#[must_use]
pub(super) fn play(maps: &Maps, rng: &mut Rng, count: usize, simd: Simd, cloud: &mut Cloud) -> bool {
    let mut orbits = Orbits::start(rng);
    cloud.resize(count.max(WARM_UP * ORBITS));
    if !orbits.play(maps, 0..WARM_UP * ORBITS, simd, cloud) {
        return false;
    }
    // Only the points of the first orbit count here.
    let first = WARM_UP.min(count);
    for axis in &mut cloud.axes {
        (0..first).for_each(|step| axis[step] = axis[step * ORBITS]);
    }
    let whole = first + (count - first) / ORBITS * ORBITS;
    for from in (first..whole).step_by(STEPS_PER_CHECK * ORBITS) {
        if !orbits.play(maps, from..whole.min(from + STEPS_PER_CHECK * ORBITS), simd, cloud) {
            return false;
        }
    }
    // The points that do not fill a last step come from the first orbits.
    cloud.resize(count);
    for i in whole..count {
        cloud.set(i, orbits.step(maps, i - whole));
    }
    orbits.within_reach()
}

/// Plays the game for a system that escapes: an escaped orbit restarts at the origin. A last resort (see
/// `draw.rs`); slow, and the same on every backend.
pub(super) fn play_restarting(maps: &Maps, rng: &mut Rng, count: usize, cloud: &mut Cloud) {
    let mut orbits = Orbits::start(rng);
    cloud.resize(count);
    for i in 0..count {
        let orbit = i % ORBITS;
        let mut point = orbits.step(maps, orbit);
        if !point.iter().all(|v| v.abs() <= ESCAPE_RADIUS) {
            point = [0.0; 3];
            orbits.set(orbit, point);
        }
        cloud.set(i, point);
    }
}

/// The current point of each orbit, and its generator.
struct Orbits {
    axes: [[f32; ORBITS]; 3],
    random: Xoroshiro<ORBITS>,
}

impl Orbits {
    fn start(rng: &mut Rng) -> Self {
        Self { axes: [[0.0; ORBITS]; 3], random: Xoroshiro::new(std::array::from_fn(|_| rng.next_u64())) }
    }

    /// Plays whole steps until the points of `range` are filled; returns whether all orbits are within reach.
    fn play(&mut self, maps: &Maps, range: std::ops::Range<usize>, simd: Simd, cloud: &mut Cloud) -> bool {
        if maps.coefficients.len() <= FEW {
            let points = cloud.axes.each_mut().map(|axis| &mut axis[range.clone()]);
            simd.run(Steps { maps, orbits: self, points });
        } else {
            for i in range.clone() {
                cloud.set(i, self.step(maps, (i - range.start) % ORBITS));
            }
        }
        self.within_reach()
    }

    fn within_reach(&self) -> bool {
        self.axes.iter().flatten().all(|v| v.abs() <= ESCAPE_RADIUS) // false for NaN
    }

    fn set(&mut self, orbit: usize, point: [f32; 3]) {
        (0..3).for_each(|axis| self.axes[axis][orbit] = point[axis]);
    }

    /// Moves one orbit and returns its point. `Steps` does the same to all of them.
    fn step(&mut self, maps: &Maps, orbit: usize) -> [f32; 3] {
        let &[a, b, c, d, e, f, g, h, i, j, k, l] = maps.chosen(self.random.next(orbit));
        let [x, y, z] = [0, 1, 2].map(|axis: usize| self.axes[axis][orbit]);
        // Three products, then three sums from left to right: the order is the same on every backend.
        let point = [x * a + y * b + z * c + j, x * d + y * e + z * f + k, x * g + y * h + z * i + l];
        self.set(orbit, point);
        point
    }
}

/// Moves all orbits until the points are full; for systems of up to [`FEW`] maps.
struct Steps<'a> {
    maps: &'a Maps,
    orbits: &'a mut Orbits,
    points: [&'a mut [f32]; 3],
}

impl Kernel for Steps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { maps, orbits, points: [points_x, points_y, points_z] } = self;
        // Sixteen lanes look up in sixteen entries, which hold the eight maps twice.
        let mut coefficients = [l.splat_f(0.0); 12];
        for (coefficient, lanes) in coefficients.iter_mut().enumerate() {
            let of_map = |map: usize| maps.coefficients.get(map % FEW).map_or(0.0, |map| map[coefficient]);
            *lanes = l.load_f(&std::array::from_fn::<f32, 16, _>(of_map));
        }
        let [a, b, c, d, e, f, g, h, i, j, k, m] = coefficients;
        let mut bounds = [l.splat_u(0); FEW - 1];
        let several = maps.bounds.len();
        for (lanes, &bound) in bounds.iter_mut().zip(&maps.bounds) {
            *lanes = l.splat_u(bound);
        }
        let (zero, one) = (l.splat_u(0), l.splat_u(1));

        for lane in (0..ORBITS).step_by(L::N) {
            let [mut x, mut y, mut z] = orbits.axes.each_ref().map(|axis| l.load_f(&axis[lane..]));
            let mut random = orbits.random.load(l, lane);
            let steps = points_x
                .chunks_exact_mut(ORBITS)
                .zip(points_y.chunks_exact_mut(ORBITS))
                .zip(points_z.chunks_exact_mut(ORBITS));
            for ((points_x, points_y), points_z) in steps {
                let word;
                (word, random) = random.next(l);
                let word = l.shr::<{ 32 - BITS }>(word);
                let mut map = zero;
                for &bound in &bounds[..several] {
                    map = l.add_u(map, l.if_less(word, bound, zero, one));
                }
                [x, y, z] = [
                    affine(l, [x, y, z], [a, b, c, j], map),
                    affine(l, [x, y, z], [d, e, f, k], map),
                    affine(l, [x, y, z], [g, h, i, m], map),
                ];
                l.store_f(&mut points_x[lane..], x);
                l.store_f(&mut points_y[lane..], y);
                l.store_f(&mut points_z[lane..], z);
            }
            for (axis, value) in orbits.axes.iter_mut().zip([x, y, z]) {
                l.store_f(&mut axis[lane..], value);
            }
            orbits.random.store(l, lane, random);
        }
    }
}

/// `x · p + y · q + z · r + s` with the coefficients of each lane's map. A function, since a closure would be
/// compiled without the instructions of the backend.
#[inline(always)]
fn affine<L: Lanes>(l: L, [x, y, z]: [L::F; 3], coefficients: [L::F; 4], map: L::U) -> L::F {
    let [p, q, r, s] = coefficients.map(|coefficient| l.lookup_f(coefficient, map));
    l.add_f(l.add_f(l.add_f(l.mul_f(x, p), l.mul_f(y, q)), l.mul_f(z, r)), s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(maps: &[Map], probabilities: &[f64]) -> Maps {
        let mut table = Maps::default();
        table.build(maps, probabilities);
        table
    }

    #[test]
    fn a_map_is_chosen_as_often_as_its_probability_says_and_never_at_zero() {
        let probabilities = [0.0, 0.25, 0.0, 0.5, 0.25, 0.0];
        let maps = table(&[0, 1, 2, 3, 4, 5].map(|map| [f64::from(map); 12]), &probabilities);
        let mut counts = [0.0; 6];
        for word in (0..=u32::MAX).step_by(1 << 16).chain([u32::MAX]) {
            counts[maps.chosen(word)[0] as usize] += 1.0 / 65_536.0;
        }
        for (count, p) in counts.into_iter().zip(probabilities) {
            assert!((count - p).abs() < 1e-4 && (count > 0.0) == (p > 0.0), "{count} {p}");
        }
    }

    /// Few enough steps for Miri. Small systems use the lanes; larger ones are played orbit by orbit.
    #[test]
    fn the_points_are_the_same_on_every_path_and_for_every_way_of_playing() {
        let map = |n: usize| {
            std::array::from_fn(|coefficient| ((7 * n + 3 * coefficient) % 11) as f64 / 20.0 - 0.25)
        };
        for n in [1, 2, 5, 8, 9] {
            let (maps, p): (Vec<Map>, _) = ((0..n).map(map).collect(), vec![1.0 / n as f64; n]);
            let maps = table(&maps, &p);
            for count in [1, 100, 128, 129, 400] {
                let played = |simd| {
                    let mut cloud = Cloud::default();
                    assert!(play(&maps, &mut Rng::new(3), count, simd, &mut cloud));
                    cloud.points().collect::<Vec<_>>()
                };
                let (plain, mut orbits) = (played(Simd::PLAIN), Orbits::start(&mut Rng::new(3)));
                let mut expected: Vec<[f32; 3]> = vec![];
                for step in 0..WARM_UP + count {
                    let points: Vec<_> = (0..ORBITS).map(|orbit| orbits.step(&maps, orbit)).collect();
                    expected.extend(if step < WARM_UP { &points[..1] } else { &points[..] });
                }
                expected.truncate(count);
                assert_eq!(plain, expected);
                for simd in Simd::available() {
                    assert_eq!(played(simd), plain);
                }
            }
        }
    }

    #[test]
    fn an_orbit_that_escapes_is_noticed() {
        for scale in [2.0, 1e30, 1e300] {
            let mut map = [0.0; 12];
            (map[0], map[9]) = (scale, 1.0);
            let (maps, mut cloud) = (table(&[map], &[1.0]), Cloud::default());
            for simd in Simd::available() {
                assert!(!play(&maps, &mut Rng::new(0), 10_000, simd, &mut cloud));
            }
            play_restarting(&maps, &mut Rng::new(0), 10_000, &mut cloud);
            assert!(cloud.points().flatten().all(|v| v.abs() <= ESCAPE_RADIUS));
        }
    }
}
