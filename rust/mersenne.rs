//! The Mersenne Twister (Matsumoto and Nishimura 1998), as NumPy's legacy `RandomState` and
//! Python's `random` use it. Only for replaying the released code; everything else uses
//! [`Rng`](crate::address::Rng).
//!
//! A block of 624 words is generated at once, and tempered only if it is read, so skipping takes
//! 0.2 ns per word. The crate rand_mt takes 2.0 ns per word, read or skipped, and a search draws
//! eight billion words; it serves as the oracle in the tests.

const N: usize = 624;
const M: usize = 397;

/// A generator at some position of its stream. A clone continues from the same position.
#[derive(Clone)]
pub(crate) struct Mersenne {
    state: [u32; N],
    /// The tempered state.
    block: [u32; N],
    /// The number of words of the block already read.
    read: usize,
}

impl Mersenne {
    /// Seeds the generator like `numpy.random.RandomState(seed)`.
    pub(crate) fn numpy(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = (before ^ before >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, block: [0; N], read: N }
    }

    /// Seeds the generator like Python's `random.seed(seed)`.
    pub(crate) fn python(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32]; // low half, high half
        let key = if words[1] == 0 { &words[..1] } else { &words };
        let mut new = Self::numpy(19_650_218);
        let state = &mut new.state;
        let (mut i, mut j) = (1, 0);
        let next = |i: &mut usize, state: &mut [u32; N]| {
            *i += 1;
            if *i == N {
                state[0] = state[N - 1];
                *i = 1;
            }
        };
        for _ in 0..N {
            let mixed = (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(1_664_525);
            state[i] = (state[i] ^ mixed).wrapping_add(key[j]).wrapping_add(j as u32);
            next(&mut i, state);
            j = (j + 1) % key.len();
        }
        for _ in 0..N - 1 {
            let mixed = (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            next(&mut i, state);
        }
        state[0] = 1 << 31;
        new
    }

    /// Draws 32 random bits.
    pub(crate) fn word(&mut self) -> u32 {
        if self.read == N {
            self.twist();
            self.temper();
            self.read = 0;
        }
        self.read += 1;
        self.block[self.read - 1]
    }

    /// Skips the next `words` words.
    pub(crate) fn skip(&mut self, words: usize) {
        let end = self.read + words;
        if end <= N {
            self.read = end;
            return;
        }
        // Stops in the block of the last skipped word, even if that block is then fully read.
        let blocks = (end - 1) / N;
        (0..blocks).for_each(|_| self.twist());
        self.temper();
        self.read = end - blocks * N;
    }

    /// Draws a number like NumPy's `random_sample()`: 53 bits, in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.word(), self.word())
    }

    /// Draws numbers like NumPy's `random_sample(len)`.
    pub(crate) fn units(&mut self, units: &mut [f64]) {
        const CHUNK: usize = 256;
        let mut words = [0; 2 * CHUNK];
        for units in units.chunks_mut(CHUNK) {
            self.words(&mut words[..2 * units.len()]);
            for (value, &[high, low]) in units.iter_mut().zip(words.as_chunks::<2>().0) {
                *value = unit(high, low);
            }
        }
    }

    /// Draws an integer like NumPy's legacy `randint(low, high + 1)`: masks words to the bits needed
    /// until one is in range.
    pub(crate) fn integer(&mut self, low: u32, high: u32) -> u32 {
        let range = high - low;
        if range == 0 {
            return low; // no word is drawn
        }
        let mask = (range + 1).next_power_of_two() - 1;
        loop {
            let word = self.word() & mask;
            if word <= range {
                return low + word;
            }
        }
    }

    /// Draws an integer like Python's `randrange(1, 512)`: nine bits, until not all of them are set.
    pub(crate) fn mask(&mut self) -> u16 {
        loop {
            let bits = self.word() >> 23;
            if bits < 511 {
                return 1 + bits as u16; // nine bits
            }
        }
    }

    fn words(&mut self, words: &mut [u32]) {
        let mut done = 0;
        while done < words.len() {
            if self.read == N {
                words[done] = self.word();
                done += 1;
                continue;
            }
            let count = (N - self.read).min(words.len() - done);
            words[done..][..count].copy_from_slice(&self.block[self.read..][..count]);
            self.read += count;
            done += count;
        }
    }

    fn twist(&mut self) {
        let old = self.state;
        let new = &mut self.state;
        let twisted = |i: usize| {
            let word = old[i] & 1 << 31 | old[i + 1] & !(1 << 31);
            word >> 1 ^ (word & 1).wrapping_neg() & 0x9908_B0DF
        };
        // Each loop reads only what earlier loops wrote, so each one can be vectorized.
        for i in 0..N - M {
            new[i] = old[i + M] ^ twisted(i);
        }
        let (first, rest) = new.split_at_mut(N - M);
        for i in 0..N - M {
            rest[i] = first[i] ^ twisted(N - M + i);
        }
        let (second, rest) = rest.split_at_mut(N - M);
        for i in 0..rest.len() - 1 {
            rest[i] = second[i] ^ twisted(2 * (N - M) + i);
        }
        let word = old[N - 1] & 1 << 31 | new[0] & !(1 << 31);
        new[N - 1] = new[M - 1] ^ word >> 1 ^ (word & 1).wrapping_neg() & 0x9908_B0DF;
    }

    fn temper(&mut self) {
        for (word, &state) in self.block.iter_mut().zip(&self.state) {
            let y = state ^ state >> 11;
            let y = y ^ y << 7 & 0x9D2C_5680;
            let y = y ^ y << 15 & 0xEFC6_0000;
            *word = y ^ y >> 18;
        }
    }
}

fn unit(high: u32, low: u32) -> f64 {
    // Both fit an i32, whose conversion to f64 is vectorized.
    let (high, low) = (f64::from((high >> 5) as i32), f64::from((low >> 6) as i32));
    (high * 67_108_864.0 + low) * (1.0 / 9_007_199_254_740_992.0) // exact: 2²⁶ and 2⁻⁵³
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_match_another_implementation() {
        for seed in [0, 1, 100, u32::MAX] {
            let (mut ours, mut theirs) = (Mersenne::numpy(seed), rand_mt::Mt::new(seed));
            assert!((0..3 * N).all(|_| ours.word() == theirs.next_u32()));
        }
        for seed in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let key = [seed as u32, (seed >> 32) as u32];
            let key = if key[1] == 0 { &key[..1] } else { &key };
            let (mut ours, mut theirs) =
                (Mersenne::python(seed), rand_mt::Mt::new_with_key(key.iter().copied()));
            assert!((0..3 * N).all(|_| ours.word() == theirs.next_u32()));
        }
    }

    #[test]
    fn skipping_is_the_same_as_drawing_and_discarding() {
        for first in [0, 1, 623, 624] {
            for skipped in [0, 1, 2, 623, 624, 625, 1247, 1248, 1249, 200_000] {
                let (mut a, mut b) = (Mersenne::numpy(5), Mersenne::numpy(5));
                (0..first + skipped).for_each(|_| _ = a.word());
                (0..first).for_each(|_| _ = b.word());
                b.skip(skipped);
                assert_eq!(a.word(), b.word(), "{first} {skipped}");
            }
        }
    }

    /// The expected values are from NumPy 2.4 and Python 3.11.
    #[test]
    fn the_draws_match_numpy_and_python() {
        let mut numpy = Mersenne::numpy(100);
        let mut many = [0.0; 1000];
        numpy.clone().units(&mut many);
        assert!(many.iter().all(|&unit| unit == numpy.unit()));
        assert_eq!(many[..2], [0.543_404_941_790_965_4, 0.278_369_385_093_796_16]);

        let mut numpy = Mersenne::numpy(1);
        let draws: Vec<u32> = (0..10).map(|_| numpy.integer(2, 7)).collect();
        assert_eq!(draws, [7, 5, 6, 2, 3, 5, 7, 2, 2, 3]);

        let mut python = Mersenne::python(7);
        let draws: Vec<u16> = (0..10).map(|_| python.mask()).collect();
        assert_eq!(draws, [166, 486, 78, 203, 334, 25, 38, 421, 275, 49]);
    }
}
