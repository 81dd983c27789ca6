//! The chaos game: 64 orbits of one system, played side by side.
//!
//! One orbit is a chain in which every point waits for the one before. 64 of them, each
//! started at a place of its own and let run for a while first, sample the same attractor
//! and keep 16 lanes busy. Their number and order are part of the format.
//!
//! Tried for 200,000 points on one core of an AMD EPYC (Zen 3, AVX2), where this takes 118 µs, or
//! 100 µs for up to four maps:
//!
//! | instead | µs |
//! |---|---|
//! | one, two or eight groups of lanes in flight, not four | 127, 121, 119 |
//! | two maps told apart by a blend, not looked up (for 100) | 119 |
//! | always into the same 64 KiB: what 1.6 MB of memory cost | 114 |
//! | no box around the points: what it costs | 107 |
//! | played twice, first for the box, then between the stores to cells: no memory | 107 + 190 |
//!
//! Some 45 instructions for eight points keep the processor busy; what is left is fewer of them.

use crate::address::{Purpose, Rng};
use crate::formula::ifs::table::Table;
use crate::points::{Bounds, Points};
use crate::simd::{Kernel, Lanes, Simd};

/// The chaos game.
pub const ORBIT: Purpose = Purpose(1);
/// Orbits played side by side. Part of the format.
pub const ORBITS: usize = 64;
/// Steps each orbit takes before its points count. Part of the format.
pub const WARM_UP: usize = 32;
/// An orbit beyond this has escaped: f32 would stretch it over a handful of pixels.
pub const ESCAPED: f32 = 1e6;

/// Steps between checks whether the orbits have escaped. No part of the format: what
/// is not finite stays so, and a box that is too large stays too large.
const STEPS_PER_CHECK: usize = 256;

/// Plays the chaos game (Barnsley, *Fractals Everywhere*): each point is a randomly chosen
/// map of the one before. Fills `points` with `count` points and returns the box around them,
/// or `None` as soon as an orbit has escaped.
pub fn play(table: &Table, rng: &mut Rng, count: usize, simd: Simd, points: &mut Points) -> Option<Bounds> {
    let mut orbits = Orbits::start(rng);
    let whole_steps = count / ORBITS;
    let room = count.max(WARM_UP * ORBITS);
    points.x.resize(room, 0.0);
    points.y.resize(room, 0.0);

    let mut bounds = Bounds::EMPTY;
    let mut steps = |from: usize, to: usize, bounds: &mut Bounds| {
        let range = from * ORBITS..to * ORBITS;
        let (x, y) = (&mut points.x[range.clone()], &mut points.y[range]);
        let steps = Steps { table, orbits: &mut orbits, bounds, x, y };
        if table.few() {
            simd.run(Few(steps));
        } else if table.slots() == 8 {
            simd.run(steps);
        } else {
            orbits.steps_of_many_maps(table, bounds, x, y);
        }
    };
    steps(0, WARM_UP, &mut { Bounds::EMPTY }); // neither box nor points are kept
    for from in (0..whole_steps).step_by(STEPS_PER_CHECK) {
        steps(from, whole_steps.min(from + STEPS_PER_CHECK), &mut bounds);
        if bounds.beyond(ESCAPED) {
            return None;
        }
    }
    // The points that do not fill a last step come from the first orbits.
    for i in whole_steps * ORBITS..count {
        let point = orbits.step(table, i % ORBITS);
        (points.x[i], points.y[i]) = (point[0], point[1]);
        bounds.add(point);
    }
    points.x.truncate(count);
    points.y.truncate(count);
    let finite = orbits.x.iter().chain(&orbits.y).all(|v| v.is_finite());
    (finite && !bounds.beyond(ESCAPED)).then_some(bounds)
}

/// Plays the game for a system that escapes: an orbit that leaves for infinity starts
/// again where it began. For the last resort (`draw.rs`); slow and the same everywhere.
pub(crate) fn play_tamed(table: &Table, rng: &mut Rng, count: usize, points: &mut Points) -> Bounds {
    let start = Orbits::start(rng);
    let mut orbits = start.clone();
    points.x.clear();
    points.y.clear();
    for i in 0..count {
        let lane = i % ORBITS;
        let mut point = orbits.step(table, lane);
        if !point.iter().all(|v| v.abs() <= ESCAPED) {
            point = [start.x[lane], start.y[lane]];
            (orbits.x[lane], orbits.y[lane]) = (point[0], point[1]);
        }
        points.x.push(point[0]);
        points.y.push(point[1]);
    }
    Bounds::of(points)
}

/// Where each orbit is, and its own xoroshiro64* (Blackman and Vigna).
#[derive(Clone)]
struct Orbits {
    x: [f32; ORBITS],
    y: [f32; ORBITS],
    s0: [u32; ORBITS],
    s1: [u32; ORBITS],
}

impl Orbits {
    fn start(rng: &mut Rng) -> Self {
        let mut orbits = Self { x: [0.0; ORBITS], y: [0.0; ORBITS], s0: [0; ORBITS], s1: [0; ORBITS] };
        for lane in 0..ORBITS {
            let state = rng.next_u64();
            // xoroshiro stands still at zero alone.
            orbits.s0[lane] = (state as u32).max(1); // the low half
            orbits.s1[lane] = (state >> 32) as u32; // the high half
            orbits.x[lane] = rng.between(-1.0, 1.0) as f32;
            orbits.y[lane] = rng.between(-1.0, 1.0) as f32;
        }
        orbits
    }

    fn random(&mut self, lane: usize) -> u32 {
        let (s0, s1) = (self.s0[lane], self.s1[lane] ^ self.s0[lane]);
        self.s0[lane] = s0.rotate_left(26) ^ s1 ^ s1 << 9;
        self.s1[lane] = s1.rotate_left(13);
        s0.wrapping_mul(0x9E37_79BB)
    }

    /// Moves one orbit and returns its point. `Steps` does the same to all of them.
    fn step(&mut self, table: &Table, lane: usize) -> [f32; 2] {
        let [a, b, c, d, e, f] = table.map(self.random(lane));
        let (x, y) = (self.x[lane], self.y[lane]);
        // Mul, mul, add, add: every path in this order.
        (self.x[lane], self.y[lane]) = (x * a + y * b + e, x * c + y * d + f);
        [self.x[lane], self.y[lane]]
    }

    fn steps_of_many_maps(&mut self, table: &Table, bounds: &mut Bounds, x: &mut [f32], y: &mut [f32]) {
        for (i, (x, y)) in x.iter_mut().zip(y).enumerate() {
            let point = self.step(table, i % ORBITS);
            bounds.add(point);
            [*x, *y] = point;
        }
    }
}

/// Moves all orbits until `x` and `y` are full; for tables of eight slots.
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

/// The same for systems of up to four maps, three quarters of the published ones.
struct Few<'a>(Steps<'a>);

impl Kernel for Few<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if L::FOUR_PAYS {
            self.0.play::<L, true>(l);
        } else {
            self.0.play::<L, false>(l);
        }
    }
}

impl Steps<'_> {
    /// A letter of `FEW` maps is looked up among four numbers, and there are six letters. The choice
    /// costs a look-up more.
    #[inline(always)]
    fn play<L: Lanes, const FEW: bool>(self, l: L) {
        let Self { table, orbits, bounds, x: points_x, y: points_y } = self;
        /// Groups of lanes in flight: enough to hide how long a step takes.
        const GROUPS: usize = 4;

        // Sixteen lanes look up modulo sixteen: they get the eight slots twice.
        let twice_u: [u32; 16] = std::array::from_fn(|i| table.share[i % 8]);
        let share = l.load_u(&twice_u);
        let twice_u: [u32; 16] = std::array::from_fn(|i| table.map_of_slot[i % 8]);
        let map_of_slot = l.load_u(&twice_u);
        let mut letters = [l.splat_f(0.0); 6];
        for (letter, column) in letters.iter_mut().zip(&table.letters) {
            let slots = if FEW { 4 } else { 8 };
            let twice: [f32; 16] = std::array::from_fn(|i| column[i % slots]);
            *letter = l.load_f(&twice);
        }
        let [a, b, c, d, e, f] = letters;
        let within_mask = l.splat_u(u32::MAX >> 3);
        let star = l.splat_u(0x9E37_79BB);
        let (mut x_min, mut y_min) = (l.splat_f(bounds.min[0]), l.splat_f(bounds.min[1]));
        let (mut x_max, mut y_max) = (l.splat_f(bounds.max[0]), l.splat_f(bounds.max[1]));

        for block in (0..ORBITS).step_by(GROUPS * L::N) {
            let (mut x, mut y) = ([l.splat_f(0.0); GROUPS], [l.splat_f(0.0); GROUPS]);
            let (mut s0, mut s1) = ([l.splat_u(0); GROUPS], [l.splat_u(0); GROUPS]);
            for g in 0..GROUPS {
                let lane = block + g * L::N;
                x[g] = l.load_f(&orbits.x[lane..]);
                y[g] = l.load_f(&orbits.y[lane..]);
                s0[g] = l.load_u(&orbits.s0[lane..]);
                s1[g] = l.load_u(&orbits.s1[lane..]);
            }
            let steps = points_x.chunks_exact_mut(ORBITS).zip(points_y.chunks_exact_mut(ORBITS));
            for (points_x, points_y) in steps {
                for g in 0..GROUPS {
                    let word = l.mul_u(s0[g], star);
                    let mixed = l.xor(s1[g], s0[g]);
                    s0[g] = l.xor(l.xor(l.rotl::<26>(s0[g]), mixed), l.shl::<9>(mixed));
                    s1[g] = l.rotl::<13>(mixed);

                    let slot = l.shr::<29>(word);
                    let own = l.lookup_u(share, slot);
                    let whole = if FEW { l.lookup_u(map_of_slot, slot) } else { slot };
                    let map = l.if_less(l.and(word, within_mask), own, whole, own);

                    let row = [x[g], y[g]];
                    x[g] = affine::<L, FEW>(l, row, [a, b, e], map);
                    y[g] = affine::<L, FEW>(l, row, [c, d, f], map);
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
                l.store_u(&mut orbits.s0[lane..], s0[g]);
                l.store_u(&mut orbits.s1[lane..], s1[g]);
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

/// `x · p + y · q + r` with the letters of each lane's map. A function, not a closure: a
/// closure would be compiled without the path's instructions (six times slower).
#[inline(always)]
fn affine<L: Lanes, const FEW: bool>(l: L, [x, y]: [L::F; 2], letters: [L::F; 3], map: L::U) -> L::F {
    let [p, q, r] =
        letters.map(|letter| if FEW { l.lookup_of_4(letter, map) } else { l.lookup_f(letter, map) });
    l.add_f(l.add_f(l.mul_f(x, p), l.mul_f(y, q)), r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use rand_core::{Rng as _, SeedableRng};

    #[test]
    fn the_generator_is_xoroshiro64_star() {
        let seed: [u8; 8] = std::array::from_fn(|i| i as u8 + 1);
        let mut theirs = rand_xoshiro::Xoroshiro64Star::from_seed(seed);
        let mut ours = Orbits::start(&mut Rng::new(0));
        ours.s0[5] = u32::from_le_bytes([1, 2, 3, 4]);
        ours.s1[5] = u32::from_le_bytes([5, 6, 7, 8]);
        for _ in 0..100 {
            assert_eq!(ours.random(5), theirs.next_u32());
        }
    }

    #[test]
    fn an_orbit_that_escapes_is_noticed() {
        let address = Address { seed: 0, category: 0, index: 0 };
        for scale in [2.0, 1e30, 1e300] {
            let table = Table::new(&[[scale, 0.0, 0.0, scale, 1.0, 1.0]], &[1.0]);
            let mut points = Points::default();
            for simd in Simd::available() {
                let mut rng = address.rng(1, ORBIT, 0);
                assert_eq!(play(&table, &mut rng, 10_000, simd, &mut points), None);
            }
            let bounds = play_tamed(&table, &mut address.rng(1, ORBIT, 0), 10_000, &mut points);
            assert!(!bounds.beyond(ESCAPED));
        }
    }
}
