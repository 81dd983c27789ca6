//! The order in which an endless stream visits addresses.
//!
//! Samples come in blocks that hold every category once, in an order of their own. The
//! k-th visit of a category takes the k-th entry of that category's own permutation of a
//! round of instances, so the grid of weights is walked in random order: `index = k` would
//! show weight row 0 alone for the first forty blocks. Nothing is stored: any sample can
//! be asked for at once.

use crate::address::{Purpose, key, mix};

/// Raised when the order changes.
const FORMAT: u64 = 1;
/// Blocks of categories.
const BLOCKS: Purpose = Purpose(6);
/// Instances of one category.
const INSTANCES: Purpose = Purpose(7);

/// Returns the (category, index) of sample `n` of the stream `seed` over `categories`.
///
/// With `instances`, a category has only that many, and they come round again in another
/// order; without, every `period` samples of a category are as many fresh instances.
pub fn sample(n: u64, categories: u64, instances: Option<u64>, period: u64, seed: u64) -> (u64, u64) {
    let (block, within) = (n / categories, n % categories);
    let category = permute(within, categories, key(FORMAT, BLOCKS, [seed, block, 0, 0]));
    let length = instances.unwrap_or(period);
    let (round, within) = (block / length, block % length);
    let place = permute(within, length, key(FORMAT, INSTANCES, [seed, category, round, 0]));
    let start = if instances.is_some() { 0 } else { round * length };
    (category, start + place)
}

/// Maps 0..n to itself one to one, by a Feistel network over the next power of four
/// (Luby and Rackoff) that is walked until it comes back inside (Black and Rogaway).
fn permute(value: u64, n: u64, key: u64) -> u64 {
    /// Enough that small domains, too, show no pattern.
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
    fn small_permutations_are_all_about_as_likely() {
        let mut counts = std::collections::HashMap::new();
        for key in 0..24_000 {
            let order: Vec<u64> = (0..4).map(|value| permute(value, 4, mix(key))).collect();
            *counts.entry(order).or_insert(0) += 1;
        }
        // Feistel networks are even permutations of small domains only in part: all 24 must
        // appear, none more than twice as often as it should.
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

    #[test]
    fn the_grid_is_walked_in_random_order() {
        let rows: HashSet<u64> = (0..40).map(|block| sample(block, 1, None, 1000, 0).1 / 40).collect();
        assert!(rows.len() > 10);
    }
}
