//! The random numbers of the chaos game: xoroshiro64* (Blackman and Vigna), a generator per orbit.

use crate::simd::Lanes;

const MULTIPLIER: u32 = 0x9E37_79BB;

/// The generators of `N` orbits.
#[derive(Clone)]
pub(in crate::formula) struct Xoroshiro<const N: usize> {
    s0: [u32; N],
    s1: [u32; N],
}

impl<const N: usize> Xoroshiro<N> {
    pub(in crate::formula) fn new(states: [u64; N]) -> Self {
        Self {
            // The all-zero state is the only one that xoroshiro cannot leave.
            s0: states.map(|state| (state as u32).max(1)), // low half
            s1: states.map(|state| (state >> 32) as u32),  // high half
        }
    }

    /// Returns the next number of one orbit.
    pub(in crate::formula) fn next(&mut self, orbit: usize) -> u32 {
        let (s0, s1) = (self.s0[orbit], self.s1[orbit] ^ self.s0[orbit]);
        self.s0[orbit] = s0.rotate_left(26) ^ s1 ^ s1 << 9;
        self.s1[orbit] = s1.rotate_left(13);
        s0.wrapping_mul(MULTIPLIER)
    }

    /// Loads the generators of a vector of orbits, from `first` on.
    #[inline(always)]
    pub(in crate::formula) fn load<L: Lanes>(&self, l: L, first: usize) -> Vector<L> {
        Vector { s0: l.load_u(&self.s0[first..]), s1: l.load_u(&self.s1[first..]) }
    }

    /// Stores what [`Xoroshiro::load`] loaded.
    #[inline(always)]
    pub(in crate::formula) fn store<L: Lanes>(&mut self, l: L, first: usize, vector: Vector<L>) {
        l.store_u(&mut self.s0[first..], vector.s0);
        l.store_u(&mut self.s1[first..], vector.s1);
    }
}

/// The generators of a vector of orbits.
#[derive(Clone, Copy)]
pub(in crate::formula) struct Vector<L: Lanes> {
    s0: L::U,
    s1: L::U,
}

impl<L: Lanes> Vector<L> {
    /// Returns the next number of each orbit, and the generators after it.
    #[inline(always)]
    pub(in crate::formula) fn next(self, l: L) -> (L::U, Self) {
        let Self { s0, s1 } = self;
        let mixed = l.xor(s1, s0);
        let after =
            Self { s0: l.xor(l.xor(l.rotl::<26>(s0), mixed), l.shl::<9>(mixed)), s1: l.rotl::<13>(mixed) };
        (l.mul_u(s0, l.splat_u(MULTIPLIER)), after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, Simd};
    use rand_core::{Rng as _, SeedableRng};

    const ORBITS: usize = 16;

    fn generators() -> Xoroshiro<ORBITS> {
        Xoroshiro::new(std::array::from_fn(|orbit| (orbit as u64) << 40 | 0x0403_0201))
    }

    /// The third number of each orbit.
    struct Third(Xoroshiro<ORBITS>);

    impl Kernel for Third {
        type Output = [u32; ORBITS];

        #[inline(always)]
        fn run<L: Lanes>(mut self, l: L) -> Self::Output {
            let mut numbers = [0; ORBITS];
            for first in (0..ORBITS).step_by(L::N) {
                let (_, second) = self.0.load(l, first).next(l);
                self.0.store(l, first, second);
                let (_, third) = self.0.load(l, first).next(l);
                l.store_u(&mut numbers[first..], third.next(l).0);
            }
            numbers
        }
    }

    #[test]
    fn every_orbit_has_the_published_generator() {
        let mut ours = generators();
        let expected: [u32; ORBITS] = std::array::from_fn(|orbit| {
            let mut theirs = rand_xoshiro::Xoroshiro64Star::from_seed([1, 2, 3, 4, 0, orbit as u8, 0, 0]);
            let numbers: [u32; 3] = std::array::from_fn(|_| theirs.next_u32());
            assert_eq!(numbers, std::array::from_fn(|_| ours.next(orbit)));
            numbers[2]
        });
        for simd in Simd::available() {
            assert_eq!(simd.run(Third(generators())), expected, "{}", simd.name());
        }
    }
}
