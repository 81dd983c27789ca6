//! The table with which the chaos game picks a map at random.

use crate::formula::ifs::Map;

/// A Walker alias table, which picks a map without branching. The number of slots is a power of two.
/// A random word picks slot i with its high bits. Its low bits, the fraction, choose between two maps:
/// map i if the fraction is below the slot's threshold, otherwise the slot's alias. (With the linear
/// search of the authors' code, a prototype took 1.4 ms per image.)
///
/// The table is rebuilt for every image, in the same memory.
#[derive(Default)]
pub struct Table {
    /// The threshold of each slot, scaled like the fraction. Its lowest bits are replaced by the
    /// number of the alias.
    pub(super) threshold: Vec<u32>,
    /// The map that each slot i picks below its threshold: map i, or the alias if map i is never
    /// picked.
    pub(super) map_of_slot: Vec<u32>,
    /// The parameters a to f of each slot's map.
    pub(super) parameters: [Vec<f32>; 6],
    slot_bits: u32,
    /// Scratch memory of `build`: how many slots' worth of probability each map still has to assign;
    /// the slots for which that is less than 1, and those for which it is at least 1.
    scaled: Vec<f64>,
    small: Vec<usize>,
    large: Vec<usize>,
}

impl Table {
    /// Rebuilds the table for `maps`, picked with `probabilities`.
    pub fn build(&mut self, maps: &[Map], probabilities: &[f64]) {
        let Self { threshold, map_of_slot, parameters, slot_bits, scaled, small, large } = self;
        let slots = maps.len().next_power_of_two().max(8);
        *slot_bits = slots.trailing_zeros();
        for (parameter, column) in parameters.iter_mut().enumerate() {
            column.clear();
            column.extend(maps.iter().map(|map| map[parameter] as f32));
            column.resize(slots, 0.0);
        }

        // Vose's construction: fills up each small slot from a large one.
        scaled.clear();
        scaled.extend(probabilities.iter().map(|p| p * slots as f64));
        scaled.resize(slots, 0.0);
        let alias = threshold; // until the end of this function, it holds only the aliases
        alias.clear();
        alias.extend(0..slots as u32);
        small.clear();
        large.clear();
        for (slot, &scaled) in scaled.iter().enumerate() {
            if scaled < 1.0 { small.push(slot) } else { large.push(slot) }
        }
        while let Some(&high) = large.last()
            && let Some(low) = small.pop()
        {
            alias[low] = high as u32;
            scaled[high] -= 1.0 - scaled[low];
            if scaled[high] < 1.0 {
                small.extend(large.pop());
            }
        }
        // The slots left over are within 3e-4 of full, due to rounding: they need no alias.
        debug_assert!(small.iter().all(|&slot| scaled[slot] > 0.99));
        // A threshold of 0 is not quite 0, because its lowest bits hold the alias, so a few random
        // words would pick a map that does not exist or has probability 0. A single such point could
        // stretch the whole image. Therefore, such a slot picks its alias on both sides.
        map_of_slot.clear();
        map_of_slot.extend(0..slots as u32);
        let never = (0..slots).filter(|&slot| probabilities.get(slot).is_none_or(|&p| p == 0.0));
        for slot in never {
            map_of_slot[slot] = alias[slot];
            for column in parameters.iter_mut() {
                column[slot] = column[alias[slot] as usize];
            }
        }

        let range = (1u64 << (32 - *slot_bits)) as f64;
        let alias_bits = slots as u32 - 1;
        for (threshold, scaled) in alias.iter_mut().zip(scaled) {
            let scaled = (scaled.clamp(0.0, 1.0) * range).min(range - 1.0) as u32;
            *threshold |= scaled & !alias_bits;
        }
    }

    #[cfg(test)]
    pub(crate) fn new(maps: &[Map], probabilities: &[f64]) -> Self {
        let mut table = Self::default();
        table.build(maps, probabilities);
        table
    }

    pub(super) fn slots(&self) -> usize {
        self.threshold.len()
    }

    /// Returns whether only the first four maps can be picked.
    pub(super) fn has_at_most_four_maps(&self) -> bool {
        let aliases = self.threshold.iter().map(|&threshold| threshold % self.slots() as u32);
        let picked = aliases.chain(self.map_of_slot.iter().copied());
        self.slots() == 8 && picked.max().is_some_and(|map| map < 4)
    }

    /// Picks a map with one random word: the high bits choose the slot, and the low bits, the
    /// fraction, are compared with its threshold.
    pub(super) fn map(&self, word: u32) -> [f32; 6] {
        let slot = word >> (32 - self.slot_bits);
        let fraction = word & (u32::MAX >> self.slot_bits);
        let threshold = self.threshold[slot as usize];
        let map = if fraction < threshold { slot } else { threshold % self.slots() as u32 };
        std::array::from_fn(|parameter| self.parameters[parameter][map as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    /// Adds up the parts of all slots, which cover all 2³² words.
    #[test]
    fn maps_are_picked_with_their_probabilities() {
        for n in 1..=40 {
            let mut rng = Rng::new(n as u64);
            let weights: Vec<f64> = (0..n).map(|_| rng.between(0.0, 1.0).powi(4)).collect();
            let sum: f64 = weights.iter().sum();
            let probabilities: Vec<f64> = weights.iter().map(|w| w / sum).collect();
            let table = Table::new(&vec![[0.0; 6]; n], &probabilities);
            let mut total = vec![0.0; table.slots()];
            let range = f64::from(u32::MAX >> table.slot_bits) + 1.0;
            for (slot, &threshold) in table.threshold.iter().enumerate() {
                let share = f64::from(threshold) / range;
                total[slot] += share / table.slots() as f64;
                total[threshold as usize % table.slots()] += (1.0 - share) / table.slots() as f64;
            }
            for (map, p) in total.iter().enumerate() {
                let wanted = probabilities.get(map).copied().unwrap_or(0.0);
                // Not exact, because the lowest bits of a threshold hold the alias.
                assert!((p - wanted).abs() < 1e-6, "{n} maps: {p} instead of {wanted}");
            }
        }
    }

    #[test]
    fn a_map_that_does_not_exist_or_has_probability_0_is_never_picked() {
        for n in 1..=40 {
            // Every third map has probability 0; the parameters of a map are its number.
            let possible = |map: usize| map % 3 != 1;
            let maps: Vec<Map> = (0..n).map(|map| [map as f64 + 1.0; 6]).collect();
            let sum = (0..n).filter(|&map| possible(map)).count() as f64;
            let probabilities: Vec<f64> =
                (0..n).map(|map| if possible(map) { 1.0 / sum } else { 0.0 }).collect();
            let table = Table::new(&maps, &probabilities);
            for slot in 0..table.slots() as u32 {
                // Only the lowest words of a slot can fall below a threshold of 0.
                for low in 0..2 * table.slots() as u32 {
                    let picked = table.map(slot << (32 - table.slot_bits) | low)[0] as usize;
                    assert!(picked > 0 && possible(picked - 1), "{n} maps: {picked}");
                }
            }
        }
    }
}
