//! The address of a sample, from which all of its random numbers are derived.

use rand_core::{Rng as _, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::frame::{FLIPS, Frame, Window};
use crate::machine::Watch;
use crate::simd::Simd;

/// The address of one sample: the seed, the category, and the instance within the category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The seed of the stream.
    pub seed: u64,
    /// The position of the category among those rendered, from 0; also its label.
    pub category: u64,
    /// The number of the instance within the category: any `u64`.
    pub index: u64,
}

/// What a random stream is used for. Each purpose has a separate stream, so drawing one more number
/// for one purpose does not change the others. Each constant is defined next to the code that uses it.
/// A test rejects duplicate numbers; `grep -rn 'Purpose(' rust` lists those in use. Any unused
/// number will do: the numbering has no meaning.
#[derive(Clone, Copy, Debug)]
pub struct Purpose(pub u64);

/// The position of the crop window.
const CROP: Purpose = Purpose(4);
/// The address of one part of an image.
const PART: Purpose = Purpose(11);
/// The two halves of the seed of a random generator outside this crate.
#[cfg(feature = "python")]
const EXTERNAL: [Purpose; 2] = [Purpose(12), Purpose(13)];

impl Address {
    /// Returns the random stream for `purpose`. `format` is the version of the family's format;
    /// `attempt` counts the re-renders of a degenerate sample, from 0.
    ///
    /// ```
    /// use fdsl::address::{Address, Purpose};
    /// let address = Address { seed: 0, category: 3, index: 7 };
    /// let first = address.rng(1, Purpose(1), 0).next_u64();
    /// assert_eq!(first, address.rng(1, Purpose(1), 0).next_u64());
    /// assert_ne!(first, address.rng(1, Purpose(2), 0).next_u64());
    /// ```
    pub fn rng(&self, format: u64, purpose: Purpose, attempt: u64) -> Rng {
        Rng::new(key(format, purpose, [self.seed, self.category, self.index, attempt]))
    }
}

/// One attempt at rendering an address: everything a formula sees besides its parameters and its
/// style.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The address of the sample.
    pub address: Address,
    /// The number of re-renders so far.
    pub attempt: u64,
    /// The settings shared by all families.
    pub frame: &'a Frame,
    /// The SIMD backend; the pixels do not depend on it.
    pub simd: Simd,
    format: u64,
    watch: &'a dyn Watch,
}

impl<'a> At<'a> {
    /// Creates the first attempt.
    pub fn new(address: Address, frame: &'a Frame, format: u64, simd: Simd, watch: &'a dyn Watch) -> Self {
        Self { address, attempt: 0, frame, simd, format, watch }
    }

    /// Returns the same attempt for a formula whose format has another version.
    pub fn with_format(self, format: u64) -> Self {
        Self { format, ..self }
    }

    /// Returns the random stream for `purpose` in this attempt. The four flips of an image share
    /// one stream, which is what makes them flips of each other.
    pub fn rng(&self, purpose: Purpose) -> Rng {
        self.numbered_rng(purpose, self.attempt)
    }

    /// Returns the random stream for `purpose` with a number chosen by the formula instead of the
    /// attempt.
    pub fn numbered_rng(&self, purpose: Purpose, number: u64) -> Rng {
        Address { index: self.index(), ..self.address }.rng(self.format, purpose, number)
    }

    /// Returns the index that the four flips of an image share: that of the first of them.
    pub fn index(&self) -> u64 {
        self.address.index - self.flip()
    }

    /// Returns the number of the image in its category, not counting flips. The four flips of an image
    /// share it, unlike `address.index`, and it has no gaps, unlike [`At::index`]: with flips, the
    /// addresses 4 to 7 are image 1, and their [`At::index`] is 4.
    pub fn image_number(&self) -> u64 {
        if self.frame.flips { self.index() / FLIPS } else { self.index() }
    }

    /// Returns the part of the image to keep. On the surface, y points up, so an unflipped image is
    /// written with its rows reversed, as in the authors' code.
    pub fn window(&self) -> Window {
        let Frame { height, width, crop, .. } = *self.frame;
        let (kept_height, kept_width) = self.frame.output_size();
        let slack = (height - kept_height, width - kept_width);
        let (top, left) = if crop.is_some_and(|crop| crop.random) {
            let mut rng = self.address.rng(self.format, CROP, self.attempt);
            let top = rng.below(slack.0 as u64 + 1);
            (top as usize, rng.below(slack.1 as u64 + 1) as usize) // neither exceeds its slack
        } else {
            (slack.0 / 2, slack.1 / 2)
        };
        Window {
            of: (height, width),
            top,
            left,
            height: kept_height,
            width: kept_width,
            flip_rows: self.flip() & 1 == 0,
            flip_columns: self.flip() & 2 != 0,
        }
    }

    /// Returns the first attempt at part `k` of this image, an object of a scene or a texture: an
    /// instance of `category`, rendered in the given `frame`.
    pub fn part<'b>(&self, k: u64, category: u64, frame: &'b Frame) -> At<'b>
    where
        'a: 'b,
    {
        let Address { seed, category: whole, index } = self.address;
        let seed = key(self.format, PART, [seed, whole, index, self.attempt << 32 | k]);
        let index = Rng::new(seed).next_u64() >> 32;
        At { address: Address { seed, category, index }, attempt: 0, frame, ..*self }
    }

    /// Returns whether to stop because the sample is no longer needed. Check this in any loop that
    /// may run for more than a few milliseconds.
    pub fn stopped(&self) -> bool {
        self.watch.stopped()
    }

    fn flip(&self) -> u64 {
        if self.frame.flips { self.address.index % FLIPS } else { 0 }
    }
}

/// Hashes a purpose and four words to one word, with one SplitMix64 finalizer per word.
pub(crate) fn key(format: u64, purpose: Purpose, words: [u64; 4]) -> u64 {
    let start = mix(format ^ purpose.0 << 32);
    words.iter().fold(start, |hash, &word| mix(hash.wrapping_add(word)))
}

/// Returns a 128-bit seed for the random generator of a family outside this crate.
#[cfg(feature = "python")]
pub(crate) fn external_key(family: &str, format: u64, words: [u64; 4]) -> [u64; 2] {
    let name = family.bytes().fold(mix(family.len() as u64), |hash, byte| mix(hash ^ u64::from(byte)));
    EXTERNAL.map(|purpose| key(format ^ name, purpose, words))
}

/// Advances SplitMix64 by one step and finalizes it (Steele, Lea and Flood 2014).
pub(crate) fn mix(word: u64) -> u64 {
    let z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// A random stream: xoshiro256++. The distributions are implemented here, because those of a
/// dependency may change between versions.
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    pub(crate) fn new(key: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(key))
    }

    /// Draws 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from `0..n` by multiply-and-shift; the bias is below n / 2⁶⁴.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64 // the high half is < n
    }

    /// Draws uniformly from `low..high`, with a resolution of 2⁻⁵³ of the width.
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
        let mut rng = Address { seed: 1, category: 2, index: 3 }.rng(1, Purpose(1), 0);
        assert_eq!(rng.next_u64(), 16_511_865_847_736_694_488);
        assert_eq!(rng.below(1000), 344);
        assert_eq!(rng.between(-1.0, 1.0), 0.854_067_838_372_035_5);
    }

    #[test]
    fn no_two_purposes_have_the_same_number() {
        let mut numbers = vec![];
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/rust"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    let source = std::fs::read_to_string(entry).unwrap();
                    let constants = source.lines().filter(|line| line.contains("const "));
                    let given = constants.flat_map(|line| line.split("Purpose(").skip(1));
                    numbers.extend(given.filter_map(|rest| rest.split(')').next()?.parse::<u64>().ok()));
                }
            }
        }
        numbers.sort_unstable();
        assert!(numbers.len() > 30, "the constants look otherwise now: {numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "a number is used twice: {numbers:?}");
    }

    #[test]
    fn the_stream_depends_on_every_part_of_the_address() {
        let draw = |seed, category, index, attempt| {
            Address { seed, category, index }.rng(1, Purpose(1), attempt).next_u64()
        };
        let all = [draw(0, 0, 0, 0), draw(1, 0, 0, 0), draw(0, 1, 0, 0), draw(0, 0, 1, 0), draw(0, 0, 0, 1)];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }

    #[test]
    fn flips_share_their_streams_unless_flips_are_off() {
        let address = Address { seed: 1, category: 2, index: 7 };
        let (flips, none) = (Frame::default(), Frame { flips: false, ..Frame::default() });
        let flag = crate::machine::Flag::default();
        let at = |frame| At::new(address, frame, 1, Simd::PLAIN, &flag);
        assert_eq!((at(&flips).index(), at(&none).index()), (4, 7));
        assert_eq!((at(&flips).image_number(), at(&none).image_number()), (1, 7));
    }

    #[test]
    fn a_centered_crop_is_nearer_to_the_top_left() {
        let crop = Some(crate::frame::Crop { height: 33, width: 35, random: false });
        let frame = Frame { height: 64, width: 64, crop, ..Frame::default() };
        let (address, flag) = (Address { seed: 1, category: 2, index: 3 }, crate::machine::Flag::default());
        let window = At::new(address, &frame, 1, Simd::PLAIN, &flag).window();
        assert_eq!((window.top, window.left), (15, 14));
    }

    #[test]
    fn the_parts_of_a_scene_have_their_own_addresses() {
        let (frame, flag) = (Frame::default(), crate::machine::Flag::default());
        let address = Address { seed: 1, category: 2, index: 7 };
        let scene = At::new(address, &frame, 1, Simd::PLAIN, &flag);
        let again = At { attempt: 1, ..scene };
        let parts = [scene.part(0, 5, &frame), scene.part(1, 5, &frame), again.part(0, 5, &frame)];
        let seeds: std::collections::HashSet<u64> = parts.iter().map(|part| part.address.seed).collect();
        assert_eq!((seeds.len(), parts[0].address.category), (3, 5));
    }
}
