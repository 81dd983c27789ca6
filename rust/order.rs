//! The order in which an endless stream visits addresses.
//!
//! The stream is a sequence of blocks. Each block holds every category once, in its own random
//! order. Each category in turn walks through a round of its instances in its own random order;
//! with `index = k` on the k-th visit, the first forty blocks would all show weight row 0 of the
//! authors' grid. Nothing is stored, so any sample of the stream can be computed directly.

use crate::address::{Purpose, key, mix};

/// Raised when the order changes.
const FORMAT: u64 = 1;
/// The order of the categories in a block.
const BLOCKS: Purpose = Purpose(6);
/// The order of the instances of a category in a round.
const INSTANCES: Purpose = Purpose(7);

/// Returns the (category, index) of sample `n` of the stream `seed` over `categories`.
///
/// With `instances`, each category has only that many, and every round repeats them in another
/// order. Without, every round of a category is its next `period` instances.
pub fn sample(n: u64, categories: u64, instances: Option<u64>, period: u64, seed: u64) -> (u64, u64) {
    let (block, within) = (n / categories, n % categories);
    let category = permute(within, categories, key(FORMAT, BLOCKS, [seed, block, 0, 0]));
    let length = instances.unwrap_or(period);
    let (round, within) = (block / length, block % length);
    let offset = permute(within, length, key(FORMAT, INSTANCES, [seed, category, round, 0]));
    let start = if instances.is_some() { 0 } else { round * length };
    (category, start.wrapping_add(offset)) // only the last, incomplete round of 2⁶⁴ samples wraps
}

/// Applies a pseudorandom permutation of 0..n: a Feistel network (Luby and Rackoff) over the next
/// power of four, with cycle walking (Black and Rogaway) to stay below n.
fn permute(value: u64, n: u64, key: u64) -> u64 {
    /// Enough to show no pattern even in small domains.
    const ROUNDS: u64 = 8;
    debug_assert!(value < n);
    let half = (64 - (n - 1).leading_zeros()).div_ceil(2).max(1);
    let low = (1u64 << half) - 1;
    let mut value = value;
    loop {
        let (mut left, mut right) = (value >> half, value & low);
        for round in 0..ROUNDS {
            let mixed = mix(key ^ mix(right ^ round << 32)) & low;
            (left, right) = (right, left ^ mixed);
        }
        value = left << half | right;
        if value < n {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_permutation_is_one_to_one() {
        for n in (1..70).chain([1000, 1024, 1025]) {
            for key in 0..5 {
                let images: HashSet<u64> = (0..n).map(|value| permute(value, n, key)).collect();
                assert_eq!(images.len() as u64, n);
                assert!(images.iter().all(|&image| image < n));
            }
        }
    }

    #[test]
    fn small_permutations_are_about_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for key in 0..24_000 {
            let order: Vec<u64> = (0..4).map(|value| permute(value, 4, mix(key))).collect();
            *counts.entry(order).or_insert(0) += 1;
        }
        // A Feistel network is not exactly uniform on a small domain: all 24 must appear, none
        // at less than half or more than twice the expected rate.
        assert_eq!(counts.len(), 24, "{counts:?}");
        assert!(counts.values().all(|&count| (500..2000).contains(&count)), "{counts:?}");
    }

    #[test]
    fn every_block_holds_every_category_and_every_round_every_instance() {
        let (categories, instances) = (7, 12);
        let samples: Vec<_> = (0..categories * instances * 2)
            .map(|n| sample(n, categories, Some(instances), 1000, 5))
            .collect();
        for block in samples.chunks(categories as usize) {
            assert_eq!(block.iter().map(|s| s.0).collect::<HashSet<_>>().len(), 7);
        }
        for round in samples.chunks((categories * instances) as usize) {
            assert_eq!(round.iter().collect::<HashSet<_>>().len(), 84);
        }
        let endless: HashSet<_> = (0..7 * 2000).map(|n| sample(n, 7, None, 1000, 5)).collect();
        assert_eq!(endless.len(), 14_000);
        assert!(endless.iter().all(|&(_, index)| index < 2000));
    }

    /// The order is part of the format: these samples may never change.
    #[test]
    fn value_stability() {
        let samples = [0, 1, 83, 84, 1_000_003].map(|n| sample(n, 7, Some(12), 1000, 5));
        assert_eq!(samples, [(1, 5), (4, 0), (3, 5), (0, 8), (1, 9)]);
        let endless = [0, 6_999, 7_000, 1_000_003].map(|n| sample(n, 7, None, 1000, 5));
        assert_eq!(endless, [(1, 635), (1, 61), (4, 1265), (1, 142_285)]);
    }

    #[test]
    fn every_round_has_its_own_order() {
        let round = |first: u64| -> Vec<_> {
            (first..first + 84).map(|n| sample(n, 7, Some(12), 1000, 5)).filter(|at| at.0 == 3).collect()
        };
        assert_ne!(round(0), round(84));
    }

    #[test]
    fn the_grid_is_walked_in_random_order() {
        let rows: HashSet<u64> = (0..40).map(|block| sample(block, 1, None, 1000, 0).1 / 40).collect();
        assert!(rows.len() > 10);
    }
}
