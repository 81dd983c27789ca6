//! The choice of a map.

use crate::formula::ifs::Map;

/// The maps laid out for a choice without a branch: Walker's alias table, a power of two
/// of slots, each half one map and half another. (The linear search of the
/// authors' program took a prototype 1.4 ms a picture.)
///
/// Laid out again for every picture, in the same memory.
#[derive(Default)]
pub struct Table {
    /// How much of the slot is its own map's, scaled to the bits below the slot number;
    /// in the lowest bits the number of the other map.
    pub(super) share: Vec<u32>,
    /// The map that a slot is whole: its own, or the other one if its own is never chosen.
    pub(super) map_of_slot: Vec<u32>,
    /// a…f, `slots` of each.
    pub(super) letters: [Vec<f32>; 6],
    slot_bits: u32,
    /// The probability of each map in slots, what of it is not laid out yet, and the slots that
    /// it is too little and too much for (scratch of `lay`).
    scaled: Vec<f64>,
    small: Vec<usize>,
    large: Vec<usize>,
}

impl Table {
    /// Lays out `maps`, chosen with `probabilities`.
    pub fn lay(&mut self, maps: &[Map], probabilities: &[f64]) {
        let Self { share, map_of_slot, letters, slot_bits, scaled, small, large } = self;
        let slots = maps.len().next_power_of_two().max(8);
        *slot_bits = slots.trailing_zeros();
        for (letter, column) in letters.iter_mut().enumerate() {
            column.clear();
            column.extend(maps.iter().map(|map| map[letter] as f32));
            column.resize(slots, 0.0);
        }

        // Vose's construction: a slot that is too small is filled up from one too large.
        scaled.clear();
        scaled.extend(probabilities.iter().map(|p| p * slots as f64));
        scaled.resize(slots, 0.0);
        let alias = share; // for now: the other map of each slot
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
        // What rounding leaves over is within 3e-4 of full: such a slot is its own map's.
        debug_assert!(small.iter().all(|&slot| scaled[slot] > 0.99));
        // The lowest bits of a share of 0 let a few words through to the slot's own map, which
        // is absent or never chosen: it stands for the other one, or a stray dot would stretch
        // the picture.
        map_of_slot.clear();
        map_of_slot.extend(0..slots as u32);
        let never = (0..slots).filter(|&slot| probabilities.get(slot).is_none_or(|&p| p == 0.0));
        for slot in never {
            map_of_slot[slot] = alias[slot];
            for column in letters.iter_mut() {
                column[slot] = column[alias[slot] as usize];
            }
        }

        let room = (1u64 << (32 - *slot_bits)) as f64;
        let other = slots as u32 - 1;
        for (share, own) in alias.iter_mut().zip(scaled) {
            let own = (own.clamp(0.0, 1.0) * room).min(room - 1.0) as u32;
            *share |= own & !other;
        }
    }

    #[cfg(test)]
    pub(crate) fn new(maps: &[Map], probabilities: &[f64]) -> Self {
        let mut table = Self::default();
        table.lay(maps, probabilities);
        table
    }

    pub(super) fn slots(&self) -> usize {
        self.share.len()
    }

    /// Says whether no map but the first four is ever played.
    pub(super) fn few(&self) -> bool {
        let other = |share: u32| share % self.slots() as u32;
        let played = self.share.iter().map(|&share| other(share)).chain(self.map_of_slot.iter().copied());
        self.slots() == 8 && played.max().is_some_and(|map| map < 4)
    }

    /// Picks a map with one random word: the high bits choose a slot, the low ones a half.
    pub(super) fn map(&self, word: u32) -> [f32; 6] {
        let slot = word >> (32 - self.slot_bits);
        let within = word & (u32::MAX >> self.slot_bits);
        let share = self.share[slot as usize];
        let map = if within < share { slot } else { share % self.slots() as u32 };
        std::array::from_fn(|letter| self.letters[letter][map as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    /// Every word is a slot and a place in it: counting the slots' parts counts all words.
    #[test]
    fn the_table_holds_the_probabilities() {
        for n in 1..=40 {
            let mut rng = Rng::new(n as u64);
            let weights: Vec<f64> = (0..n).map(|_| rng.between(0.0, 1.0).powi(4)).collect();
            let sum: f64 = weights.iter().sum();
            let probabilities: Vec<f64> = weights.iter().map(|w| w / sum).collect();
            let table = Table::new(&vec![[0.0; 6]; n], &probabilities);
            let mut total = vec![0.0; table.slots()];
            let room = f64::from(u32::MAX >> table.slot_bits) + 1.0;
            for (slot, &share) in table.share.iter().enumerate() {
                total[slot] += f64::from(share) / room / table.slots() as f64;
                total[share as usize % table.slots()] +=
                    (1.0 - f64::from(share) / room) / table.slots() as f64;
            }
            for (map, p) in total.iter().enumerate() {
                let wanted = probabilities.get(map).copied().unwrap_or(0.0);
                // A slot's lowest bits name the other map: the price of one look-up less.
                assert!((p - wanted).abs() < 1e-6, "{n} maps: {p} instead of {wanted}");
            }
        }
    }

    #[test]
    fn a_map_that_is_absent_or_never_chosen_is_never_played() {
        for n in 1..=40 {
            // Every third map is never chosen; the letters name the map.
            let chosen = |map: usize| map % 3 != 1;
            let maps: Vec<Map> = (0..n).map(|map| [map as f64 + 1.0; 6]).collect();
            let sum = (0..n).filter(|&map| chosen(map)).count() as f64;
            let probabilities: Vec<f64> =
                (0..n).map(|map| if chosen(map) { 1.0 / sum } else { 0.0 }).collect();
            let table = Table::new(&maps, &probabilities);
            for slot in 0..table.slots() as u32 {
                // The lowest words of a slot are those that a share of 0 lets through.
                for low in 0..2 * table.slots() as u32 {
                    let played = table.map(slot << (32 - table.slot_bits) | low)[0] as usize;
                    assert!(played > 0 && chosen(played - 1), "{n} maps: {played}");
                }
            }
        }
    }
}
