//! The choice of a map for each step of an orbit, in the order and with the rounding of the released code.

use crate::simd::{Kernel, Lanes, Simd};

/// Steps whose maps are chosen at once.
pub(in crate::formula) const CHUNK: usize = 256;

/// The maps of a system, with their probabilities summed up one by one.
pub(in crate::formula) struct Choice {
    cumulative: Vec<f64>,
}

impl Choice {
    pub(in crate::formula) fn new(probabilities: &[f64]) -> Self {
        let mut sum = 0.0;
        let cumulative = probabilities.iter().map(|p| {
            sum += p;
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// Chooses a map for each random number in 0…1. Because of rounding, the sum of all probabilities may
    /// lie below a number; its map is then one past the last.
    pub(in crate::formula) fn choose(&self, units: &[f64; CHUNK], chosen: &mut [u64; CHUNK], simd: Simd) {
        simd.run(Choose { units, cumulative: &self.cumulative, chosen });
    }
}

/// Counts the cumulative probabilities below each number.
struct Choose<'a> {
    units: &'a [f64; CHUNK],
    cumulative: &'a [f64],
    chosen: &'a mut [u64; CHUNK],
}

impl Kernel for Choose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        self.chosen.fill(0);
        for &bound in self.cumulative {
            for (map, &unit) in self.chosen.iter_mut().zip(self.units) {
                *map += u64::from(bound < unit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_chooses_the_map_whose_share_it_falls_into() {
        let choice = Choice::new(&[0.25, 0.0, 0.5, 0.125]); // their sum is less than 1
        let mut units = [0.0; CHUNK];
        units[..6].copy_from_slice(&[0.0, 0.25, 0.26, 0.75, 0.8, 0.9]);
        for simd in Simd::available() {
            let mut chosen = [9; CHUNK];
            choice.choose(&units, &mut chosen, simd);
            assert_eq!(chosen[..6], [0, 0, 2, 2, 3, 4], "{simd:?}");
        }
    }
}
