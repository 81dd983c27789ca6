//! Perlin noise along a line, as the Python package "noise" computes it with one octave.

use crate::formula::perlin::PERLIN;

/// The positions that programs draw: 0…10,000.
pub const SPAN: f64 = 10_000.0;
const CELLS: usize = 1024;

/// The slope at each lattice point. A slope of −1 where a negative one should stand is part of
/// the package.
static SLOPES: [f32; CELLS + 1] = slopes();

const fn slopes() -> [f32; CELLS + 1] {
    let mut slopes = [0.0; CELLS + 1];
    let mut i = 0;
    while i <= CELLS {
        let hash = PERLIN[i & 255];
        slopes[i] = if hash & 8 == 0 { (hash & 7) as f32 + 1.0 } else { -1.0 };
        i += 1;
    }
    slopes
}

/// Returns the noise at a position in 0…10,000, in f32 throughout.
#[inline(always)]
pub fn noise(x: f32) -> f32 {
    let cell = x as i32; // cut, which is the floor of what is not negative
    let t = x - cell as f32;
    let i = (cell & (CELLS as i32 - 1)) as usize;
    let fade = t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
    let a = SLOPES[i] * t;
    let b = SLOPES[i + 1] * (t - 1.0);
    (a + fade * (b - a)) * 0.4
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
            assert_eq!(f64::from(noise(x)), expected, "{x}");
        }
    }

    #[test]
    fn the_noise_has_the_moments_of_the_package() {
        let mut rng = Rng::new(1);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(noise(rng.between(0.0, SPAN) as f32))).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let deviation = (draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
        assert!((mean + 0.0003).abs() < 0.005 && (deviation - 0.329).abs() < 0.003, "{mean} {deviation}");
    }
}
