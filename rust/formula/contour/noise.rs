//! Perlin noise along a line, as the Python package "noise" computes it with one octave.

use crate::formula::perlin::PERLIN;

/// The positions that the released code draws: 0…10,000.
pub const SPAN: f64 = 10_000.0;

/// The slopes at each lattice point and at the next, for one look-up: each as the upper 16 bits of its f32,
/// whose lower ones are 0. The package uses −1 for every negative slope, and so do we.
static SLOPES: [u32; 256] = slopes();

const fn slopes() -> [u32; 256] {
    let mut slopes = [0; 256];
    let mut i = 0;
    while i < 256 {
        slopes[i] = slope(i) & 0xFFFF_0000 | slope(i + 1) >> 16;
        i += 1;
    }
    slopes
}

const fn slope(i: usize) -> u32 {
    let hash = PERLIN[i & 255];
    let slope = if hash & 8 == 0 { (hash & 7) as f32 + 1.0 } else { -1.0 };
    slope.to_bits()
}

/// Looks up the slopes on both sides of a position in 0…10,000.
#[inline(always)]
pub fn look_up(x: f32) -> u32 {
    SLOPES[((floor(x) + WHOLE).to_bits() & 255) as usize]
}

/// Returns the noise at a position in 0…10,000, in f32 throughout, from what [`look_up`] returns for it.
#[inline(always)]
pub fn noise(x: f32, slopes: u32) -> f32 {
    let t = x - floor(x);
    let fade = t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let a = f32::from_bits(slopes & 0xFFFF_0000) * t;
    let b = f32::from_bits(slopes << 16) * (t - 1.0);
    (a + fade * (b - a)) * 0.4
}

/// From here on, every f32 is an integer.
const WHOLE: f32 = (1 << 23) as f32;

/// `f32::floor` for numbers from 0 to `WHOLE`, but vectorized on every backend.
#[inline(always)]
fn floor(x: f32) -> f32 {
    let nearest = x + WHOLE - WHOLE;
    if nearest > x { nearest - 1.0 } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    /// Computed with the package "noise" 1.2.2.
    #[test]
    fn the_noise_is_that_of_the_package() {
        for (x, expected) in [
            (0.5, 0.699_999_988_079_071),
            (1.25, 0.120_703_123_509_883_88),
            (123.456, 0.834_133_327_007_293_7),
            (1023.5, -0.300_000_011_920_928_96),
            (5000.1, 0.265_508_383_512_496_95),
            (9999.75, 0.151_757_821_440_696_72),
        ] {
            assert_eq!(f64::from(noise(x, look_up(x))), expected, "{x}");
        }
    }

    #[test]
    fn the_noise_has_the_moments_of_the_package() {
        let mut rng = Rng::new(1);
        let mut draw = || {
            let x = rng.between(0.0, SPAN) as f32;
            f64::from(noise(x, look_up(x)))
        };
        let draws: Vec<f64> = (0..100_000).map(|_| draw()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let deviation = (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
        assert!((mean + 0.0003).abs() < 0.005 && (deviation - 0.329).abs() < 0.003, "{mean} {deviation}");
    }
}
