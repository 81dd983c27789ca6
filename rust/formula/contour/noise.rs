//! Perlin noise along a line, as the Python package "noise" computes it with one octave.

/// The positions that the released code draws: 0…10,000.
pub(super) const SPAN: f64 = 10_000.0;

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
pub(super) fn look_up(x: f32) -> u32 {
    SLOPES[((floor(x) + WHOLE).to_bits() & 255) as usize]
}

/// Returns the noise at a position in 0…10,000, in f32 throughout, from what [`look_up`] returns for it.
#[inline(always)]
pub(super) fn noise(x: f32, slopes: u32) -> f32 {
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

/// The permutation in Perlin's code.
pub(in crate::formula) const PERLIN: [u8; 256] = [
    151, 160, 137, 91, 90, 15, 131, 13, 201, 95, 96, 53, 194, 233, 7, 225, 140, 36, 103, 30, 69, 142, 8, 99,
    37, 240, 21, 10, 23, 190, 6, 148, 247, 120, 234, 75, 0, 26, 197, 62, 94, 252, 219, 203, 117, 35, 11, 32,
    57, 177, 33, 88, 237, 149, 56, 87, 174, 20, 125, 136, 171, 168, 68, 175, 74, 165, 71, 134, 139, 48, 27,
    166, 77, 146, 158, 231, 83, 111, 229, 122, 60, 211, 133, 230, 220, 105, 92, 41, 55, 46, 245, 40, 244,
    102, 143, 54, 65, 25, 63, 161, 1, 216, 80, 73, 209, 76, 132, 187, 208, 89, 18, 169, 200, 196, 135, 130,
    116, 188, 159, 86, 164, 100, 109, 198, 173, 186, 3, 64, 52, 217, 226, 250, 124, 123, 5, 202, 38, 147,
    118, 126, 255, 82, 85, 212, 207, 206, 59, 227, 47, 16, 58, 17, 182, 189, 28, 42, 223, 183, 170, 213, 119,
    248, 152, 2, 44, 154, 163, 70, 221, 153, 101, 155, 167, 43, 172, 9, 129, 22, 39, 253, 19, 98, 108, 110,
    79, 113, 224, 232, 178, 185, 112, 104, 218, 246, 97, 228, 251, 34, 242, 193, 238, 210, 144, 12, 191, 179,
    162, 241, 81, 51, 145, 235, 249, 14, 239, 107, 49, 192, 214, 31, 181, 199, 106, 157, 184, 84, 204, 176,
    115, 121, 50, 45, 127, 4, 150, 254, 138, 236, 205, 93, 222, 114, 67, 29, 24, 72, 243, 141, 128, 195, 78,
    66, 215, 61, 156, 180,
];

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
