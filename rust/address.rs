//! The address of a picture, and the only source of its randomness.

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Raised whenever the same address would draw other bytes than the release before.
pub const FORMAT: u64 = 1;

/// Names one picture: which stream, which category, which of its endless instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Tells one data set from another.
    pub seed: u64,
    /// The label; counts the categories given to the renderer from 0.
    pub category: u64,
    /// Counts the instances of the category from 0, without end.
    pub index: u64,
}

/// What a random stream is for. Every purpose has a stream of its own, so one more
/// draw in one place moves nothing in another.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// The chaos game.
    Orbit = 1,
    /// The 3×3 masks.
    Patch = 2,
    /// The variation of the parameters.
    Weights = 3,
    /// The place of the crop window.
    Crop = 4,
    /// The parameters of a candidate category.
    Search = 5,
    /// The order of a stream: blocks of categories.
    Blocks = 6,
    /// The order of a stream: instances of one category.
    Instances = 7,
    /// The gradient table and phase of a noise; `attempt` counts colour channels, and from one
    /// redraw to the next four.
    Noise = 8,
    /// The control points of curves.
    Curves = 9,
    /// A label that is wrong on purpose.
    Label = 10,
}

impl Address {
    /// Returns the random stream of one purpose; `attempt` counts redraws from 0.
    ///
    /// ```
    /// use fdsl::address::{Address, Purpose};
    /// let address = Address { seed: 0, category: 3, index: 7 };
    /// let first = address.rng(Purpose::Orbit, 0).next_u64();
    /// assert_eq!(first, address.rng(Purpose::Orbit, 0).next_u64());
    /// assert_ne!(first, address.rng(Purpose::Patch, 0).next_u64());
    /// ```
    pub fn rng(&self, purpose: Purpose, attempt: u64) -> Rng {
        Rng::new(key(purpose, [self.seed, self.category, self.index, attempt]))
    }
}

/// Hashes a purpose and four words to one, a SplitMix64 finaliser a word.
pub(crate) fn key(purpose: Purpose, words: [u64; 4]) -> u64 {
    let start = mix(FORMAT ^ (purpose as u64) << 32);
    words.iter().fold(start, |hash, &word| mix(hash.wrapping_add(word)))
}

/// Steps and finalises SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) fn mix(word: u64) -> u64 {
    let z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// A random stream: xoshiro256++, and ways of drawing that no dependency can change.
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    pub(crate) fn new(key: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(key))
    }

    /// Draws 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from `0..n` by multiply and shift; the bias is under n / 2⁶⁴.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64 // the high half is < n
    }

    /// Draws uniformly from `low..high` in steps of 2⁻⁵³ of the width.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64; // both exact
        low + unit * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream is part of the format: these words may never change.
    #[test]
    fn value_stability() {
        let mut rng = Address { seed: 1, category: 2, index: 3 }.rng(Purpose::Orbit, 0);
        assert_eq!(rng.next_u64(), 16_511_865_847_736_694_488);
        assert_eq!(rng.below(1000), 344);
        assert_eq!(rng.between(-1.0, 1.0), 0.854_067_838_372_035_5);
    }

    #[test]
    fn every_word_of_the_address_matters() {
        let draw = |seed, category, index, attempt| {
            Address { seed, category, index }.rng(Purpose::Orbit, attempt).next_u64()
        };
        let all = [draw(0, 0, 0, 0), draw(1, 0, 0, 0), draw(0, 1, 0, 0), draw(0, 0, 1, 0), draw(0, 0, 0, 1)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }
}
