//! The chaos game: 64 orbits of one system, advanced in parallel.
//!
//! A single orbit is a serial chain: every point depends on the one before it. To make use of SIMD,
//! we run 64 independent orbits on the same attractor: enough to fill four 16-lane vectors. Each
//! orbit starts at a different random point, and its first points are discarded. The number and the
//! order of the orbits are part of the reproducibility contract: changing them changes the images.
//!
//! 200,000 points take 118 µs on one core of an AMD EPYC (Zen 3, AVX2), and 100 µs for systems of up
//! to four maps. Variants that were measured:
//!
//! | variant | µs |
//! |---|---|
//! | 1, 2 or 8 vectors in flight instead of 4 | 127, 121, 119 |
//! | for systems of two maps, a blend instead of a table lookup (compare with 100) | 119 |
//! | without memory traffic: writes all points to the same 64 KiB instead of 1.6 MB | 114 |
//! | without tracking the bounding box | 107 |
//! | storing no points: one run for the bounding box, then a second run that plots | 107 + 190 |
//!
//! The loop is instruction-bound, at roughly 45 instructions per 8 points; only reducing that count
//! would speed it up.
//!
//! A SIMD backend is one of the implementations of `Lanes`: plain, AVX2, AVX-512 or NEON.

use crate::address::{Purpose, Rng};
use crate::formula::ifs::table::Table;
use crate::formula::system::ESCAPE_RADIUS;
use crate::formula::system::xoroshiro::Xoroshiro;
use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes, Simd};

/// The random stream of the chaos game.
pub const ORBIT: Purpose = Purpose(1);
/// The number of orbits. Part of the reproducibility contract: changing it changes the images.
const ORBITS: usize = 64;
/// The number of points discarded at the start of each orbit. Part of the reproducibility contract:
/// changing it changes the images.
const WARM_UP: usize = 32;

/// The number of steps between checks for divergence. It may change without changing the images,
/// because divergence, once reached, is still detected at any later check: NaN stays NaN, and a
/// bounding box never shrinks.
const STEPS_PER_CHECK: usize = 256;

/// Plays the chaos game (Barnsley, *Fractals Everywhere*): each point is the image of the previous
/// one under a randomly picked map. Fills `points` with `count` points and returns their bounding
/// box, or `None` as soon as the system is found to diverge.
pub fn play(table: &Table, rng: &mut Rng, count: usize, simd: Simd, points: &mut Points) -> Option<Bounds> {
    continued(table, Orbits::start(rng), count, simd, points)
}

/// Plays the chaos game with all orbits starting at a point of the attractor, and keeps the first points
/// of the first orbit, which [`play`] discards.
///
/// The code of "Improving Fractal Pre-training" plays one orbit from the fixed point of the first
/// map. That point is often an extreme one, so without it the bounding box is smaller: by 0.1% in
/// one of six systems, enough to see in the filling rate of 60 images.
pub(super) fn play_from(
    start: [f32; 2],
    table: &Table,
    rng: &mut Rng,
    count: usize,
    simd: Simd,
    points: &mut Points,
) -> Option<Bounds> {
    let mut orbits = Orbits { x: [start[0]; ORBITS], y: [start[1]; ORBITS], ..Orbits::start(rng) };
    if count <= WARM_UP {
        return continued(table, orbits, count, simd, points);
    }
    let first: [[f32; 2]; WARM_UP] = std::array::from_fn(|_| orbits.step(table, 0));
    let mut bounds = continued(table, orbits, count - WARM_UP, simd, points)?;
    for point in first {
        points.x.push(point[0]);
        points.y.push(point[1]);
        bounds.add(point);
    }
    (!bounds.exceed(ESCAPE_RADIUS)).then_some(bounds)
}

/// Goes on with the orbits, without their first points.
fn continued(
    table: &Table,
    mut orbits: Orbits,
    count: usize,
    simd: Simd,
    points: &mut Points,
) -> Option<Bounds> {
    let whole_steps = count / ORBITS;
    let capacity = count.max(WARM_UP * ORBITS);
    points.x.resize(capacity, 0.0);
    points.y.resize(capacity, 0.0);

    let mut bounds = Bounds::EMPTY;
    let mut advance = |from: usize, to: usize, bounds: &mut Bounds| {
        let range = from * ORBITS..to * ORBITS;
        let (x, y) = (&mut points.x[range.clone()], &mut points.y[range]);
        let steps = Steps { table, orbits: &mut orbits, bounds, x, y };
        if table.has_at_most_four_maps() {
            simd.run(UpToFourMaps(steps));
        } else if table.slots() == 8 {
            simd.run(steps);
        } else {
            orbits.advance_without_simd(table, bounds, x, y);
        }
    };
    advance(0, WARM_UP, &mut { Bounds::EMPTY }); // discards the points and their bounding box
    for from in (0..whole_steps).step_by(STEPS_PER_CHECK) {
        advance(from, whole_steps.min(from + STEPS_PER_CHECK), &mut bounds);
        if bounds.exceed(ESCAPE_RADIUS) {
            return None;
        }
    }
    // A whole step adds a point to every orbit. The remaining points come from the first orbits.
    for i in whole_steps * ORBITS..count {
        let point = orbits.step(table, i % ORBITS);
        (points.x[i], points.y[i]) = (point[0], point[1]);
        bounds.add(point);
    }
    points.x.truncate(count);
    points.y.truncate(count);
    let finite = orbits.x.iter().chain(&orbits.y).all(|v| v.is_finite());
    (finite && !bounds.exceed(ESCAPE_RADIUS)).then_some(bounds)
}

/// Plays the chaos game for a system that diverges: an orbit that exceeds [`ESCAPE_RADIUS`] is reset
/// to its starting point. Used only for the fallback image, so it need not be fast.
pub(crate) fn play_restarting(table: &Table, rng: &mut Rng, count: usize, points: &mut Points) -> Bounds {
    let start = Orbits::start(rng);
    let mut orbits = start.clone();
    points.x.clear();
    points.y.clear();
    for i in 0..count {
        let lane = i % ORBITS;
        let mut point = orbits.step(table, lane);
        if !point.iter().all(|v| v.abs() <= ESCAPE_RADIUS) {
            point = [start.x[lane], start.y[lane]];
            (orbits.x[lane], orbits.y[lane]) = (point[0], point[1]);
        }
        points.x.push(point[0]);
        points.y.push(point[1]);
    }
    Bounds::of(points)
}

/// The current point of each orbit, and its generator.
#[derive(Clone)]
struct Orbits {
    x: [f32; ORBITS],
    y: [f32; ORBITS],
    random: Xoroshiro<ORBITS>,
}

impl Orbits {
    fn start(rng: &mut Rng) -> Self {
        let (mut x, mut y, mut states) = ([0.0; ORBITS], [0.0; ORBITS], [0; ORBITS]);
        for orbit in 0..ORBITS {
            states[orbit] = rng.next_u64();
            x[orbit] = rng.between(-1.0, 1.0) as f32;
            y[orbit] = rng.between(-1.0, 1.0) as f32;
        }
        Self { x, y, random: Xoroshiro::new(states) }
    }

    /// Advances one orbit and returns its new point. [`Steps`] is the vectorized version.
    fn step(&mut self, table: &Table, lane: usize) -> [f32; 2] {
        let [a, b, c, d, e, f] = table.map(self.random.next(lane));
        let (x, y) = (self.x[lane], self.y[lane]);
        // Every SIMD backend multiplies and adds in this order.
        (self.x[lane], self.y[lane]) = (x * a + y * b + e, x * c + y * d + f);
        [self.x[lane], self.y[lane]]
    }

    /// Advances all orbits until `x` and `y` are full. For tables of more than eight slots.
    fn advance_without_simd(&mut self, table: &Table, bounds: &mut Bounds, x: &mut [f32], y: &mut [f32]) {
        for (i, (x, y)) in x.iter_mut().zip(y).enumerate() {
            let point = self.step(table, i % ORBITS);
            bounds.add(point);
            [*x, *y] = point;
        }
    }
}

/// Advances all orbits until `x` and `y` are full. For tables of eight slots.
struct Steps<'a> {
    table: &'a Table,
    orbits: &'a mut Orbits,
    bounds: &'a mut Bounds,
    x: &'a mut [f32],
    y: &'a mut [f32],
}

impl Kernel for Steps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        self.play::<L, false>(l);
    }
}

/// Like [`Steps`], for systems of up to four maps. Three quarters of the published systems are.
struct UpToFourMaps<'a>(Steps<'a>);

impl Kernel for UpToFourMaps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if L::FOUR_ENTRY_LOOKUP_IS_FASTER {
            self.0.play::<L, true>(l);
        } else {
            self.0.play::<L, false>(l);
        }
    }
}

impl Steps<'_> {
    /// With `FOUR`, the six lookups of a map's parameters use tables of four entries. These are faster
    /// on some backends, at the cost of one extra lookup to find a slot's map.
    #[inline(always)]
    fn play<L: Lanes, const FOUR: bool>(self, l: L) {
        let Self { table, orbits, bounds, x: points_x, y: points_y } = self;
        /// The number of vectors in flight, which hide the latency of a step.
        const GROUPS: usize = 4;

        // On 16-lane backends, lookup indices wrap at 16, so tables are repeated to fill 16 entries.
        let repeated: [u32; 16] = std::array::from_fn(|i| table.threshold[i % 8]);
        let threshold = l.load_u(&repeated);
        let repeated: [u32; 16] = std::array::from_fn(|i| table.map_of_slot[i % 8]);
        let map_of_slot = l.load_u(&repeated);
        let mut parameters = [l.splat_f(0.0); 6];
        for (parameter, column) in parameters.iter_mut().zip(&table.parameters) {
            let entries = if FOUR { 4 } else { 8 };
            let repeated: [f32; 16] = std::array::from_fn(|i| column[i % entries]);
            *parameter = l.load_f(&repeated);
        }
        let [a, b, c, d, e, f] = parameters;
        let fraction_mask = l.splat_u(u32::MAX >> 3);
        let (mut x_min, mut y_min) = (l.splat_f(bounds.min[0]), l.splat_f(bounds.min[1]));
        let (mut x_max, mut y_max) = (l.splat_f(bounds.max[0]), l.splat_f(bounds.max[1]));

        for block in (0..ORBITS).step_by(GROUPS * L::N) {
            let (mut x, mut y) = ([l.splat_f(0.0); GROUPS], [l.splat_f(0.0); GROUPS]);
            let mut random = [orbits.random.load(l, block); GROUPS];
            for g in 0..GROUPS {
                let lane = block + g * L::N;
                x[g] = l.load_f(&orbits.x[lane..]);
                y[g] = l.load_f(&orbits.y[lane..]);
                random[g] = orbits.random.load(l, lane);
            }
            let steps = points_x.chunks_exact_mut(ORBITS).zip(points_y.chunks_exact_mut(ORBITS));
            for (points_x, points_y) in steps {
                for g in 0..GROUPS {
                    let word;
                    (word, random[g]) = random[g].next(l);
                    let slot = l.shr::<29>(word);
                    // The lookups below use only the lowest bits of `map`; in a threshold, those bits
                    // hold the alias.
                    let threshold = l.lookup_u(threshold, slot);
                    let below = if FOUR { l.lookup_u(map_of_slot, slot) } else { slot };
                    let map = l.if_less(l.and(word, fraction_mask), threshold, below, threshold);

                    let point = [x[g], y[g]];
                    x[g] = affine::<L, FOUR>(l, point, [a, b, e], map);
                    y[g] = affine::<L, FOUR>(l, point, [c, d, f], map);
                    l.store_f(&mut points_x[block + g * L::N..], x[g]);
                    l.store_f(&mut points_y[block + g * L::N..], y[g]);
                    x_min = l.min_f(x[g], x_min);
                    y_min = l.min_f(y[g], y_min);
                    x_max = l.max_f(x[g], x_max);
                    y_max = l.max_f(y[g], y_max);
                }
            }
            for g in 0..GROUPS {
                let lane = block + g * L::N;
                l.store_f(&mut orbits.x[lane..], x[g]);
                l.store_f(&mut orbits.y[lane..], y[g]);
                orbits.random.store(l, lane, random[g]);
            }
        }
        for (x, y) in [(x_min, y_min), (x_max, y_max)] {
            let (mut xs, mut ys) = ([0.0; 16], [0.0; 16]);
            l.store_f(&mut xs, x);
            l.store_f(&mut ys, y);
            for (&x, &y) in xs.iter().zip(&ys).take(L::N) {
                bounds.add([x, y]);
            }
        }
    }
}

/// Computes `x · p + y · q + r` with the parameters of each lane's map. This is a function rather than
/// a closure because a closure would be compiled without the backend's target features and run six
/// times slower.
#[inline(always)]
fn affine<L: Lanes, const FOUR: bool>(l: L, [x, y]: [L::F; 2], parameters: [L::F; 3], map: L::U) -> L::F {
    let [p, q, r] =
        parameters.map(|table| if FOUR { l.lookup_of_4(table, map) } else { l.lookup_f(table, map) });
    l.add_f(l.add_f(l.mul_f(x, p), l.mul_f(y, q)), r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    #[test]
    fn a_system_that_diverges_is_detected() {
        let address = Address { seed: 0, category: 0, index: 0 };
        for scale in [2.0, 1e30, 1e300] {
            let table = Table::new(&[[scale, 0.0, 0.0, scale, 1.0, 1.0]], &[1.0]);
            let mut points = Points::default();
            for simd in Simd::available() {
                let mut rng = address.rng(1, ORBIT, 0);
                assert_eq!(play(&table, &mut rng, 10_000, simd, &mut points), None);
            }
            let bounds = play_restarting(&table, &mut address.rng(1, ORBIT, 0), 10_000, &mut points);
            assert!(!bounds.exceed(ESCAPE_RADIUS));
        }
    }
}
