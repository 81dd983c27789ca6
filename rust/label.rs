//! The label of a sample, with optional label noise (paper, Figure 5).

use crate::address::{Address, Purpose};

/// Raised when the labels change.
const FORMAT: u64 = 1;
/// Label noise.
const LABEL: Purpose = Purpose(10);

/// Returns the label of `address` among `categories` when a share `noise` of all samples gets a
/// label drawn uniformly from all categories.
///
/// The label depends only on the address: a sample keeps it from epoch to epoch, and a label that
/// was replaced at one share is replaced by the same one at every larger share.
pub fn label(address: Address, categories: u64, noise: f64) -> u64 {
    let mut rng = address.rng(FORMAT, LABEL, 0);
    if rng.between(0.0, 1.0) < noise { rng.below(categories) } else { address.category }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(noise: f64) -> Vec<u64> {
        (0..10_000).map(|index| label(Address { seed: 3, category: 7, index }, 10, noise)).collect()
    }

    #[test]
    fn the_share_of_random_labels_is_as_requested() {
        assert!(labels(0.0).iter().all(|&label| label == 7));
        for noise in [0.2, 0.5, 1.0] {
            let wrong = labels(noise).iter().filter(|&&label| label != 7).count() as f64;
            // One in ten random labels is right by chance.
            assert!((wrong / 10_000.0 - 0.9 * noise).abs() < 0.02, "{noise}: {wrong}");
        }
    }

    #[test]
    fn random_labels_are_uniform() {
        let mut counts = [0; 10];
        labels(1.0).iter().for_each(|&label| counts[label as usize] += 1);
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn more_noise_keeps_the_labels_drawn_at_less_noise() {
        for (less, more) in labels(0.3).into_iter().zip(labels(0.8)) {
            assert!(less == 7 || less == more);
        }
    }

    /// Part of the format: these labels may never change.
    #[test]
    fn value_stability() {
        assert_eq!(labels(1.0)[..8], [0, 0, 2, 4, 0, 6, 8, 9]);
    }
}
