//! A 3×3 Gaussian blur, in integers: the same on every backend, and it commutes with flips.

use crate::address::Rng;
use crate::simd::{Kernel, Lanes, Simd};

/// Decides whether an image is among the `share` of images that are blurred, and by which σ: uniform
/// in 0.5..1.0.
pub(crate) fn random_sigma(share: f64, rng: &mut Rng) -> Option<f64> {
    let blurred = rng.between(0.0, 1.0) < share;
    let sigma = rng.between(0.5, 1.0);
    blurred.then_some(sigma)
}

/// Scratch of a blur.
#[derive(Default)]
pub(crate) struct Blur {
    /// Every row, blurred along itself, times 256.
    rows: Vec<u16>,
}

impl Blur {
    /// Blurs an image with `channels` bytes per pixel; `sigma` is in pixels. At the border, the
    /// image is reflected without repeating its outermost pixels (OpenCV's `BORDER_REFLECT_101`).
    pub(crate) fn apply(&mut self, pixels: &mut [u8], width: usize, channels: usize, sigma: f64, simd: Simd) {
        let side = libm::exp(-0.5 / (sigma * sigma)); // relative to the center
        let side = (256.0 * side / (1.0 + 2.0 * side) + 0.5) as u16; // less than 86
        self.rows.resize(pixels.len(), 0);
        simd.run(Apply { rows: &mut self.rows, pixels, line: width * channels, channels, side });
    }
}

struct Apply<'a> {
    rows: &'a mut [u16],
    pixels: &'a mut [u8],
    /// Bytes per row.
    line: usize,
    channels: usize,
    /// The weight of a neighbor, of 256.
    side: u16,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { rows, pixels, line, channels, side } = self;
        let center = 256 - 2 * side;
        let mix = |before: u8, here: u8, after: u8| {
            side * (u16::from(before) + u16::from(after)) + center * u16::from(here) // at most 255·256
        };
        for (pixels, rows) in pixels.chunks_exact(line).zip(rows.chunks_exact_mut(line)) {
            let neighbors = pixels.iter().zip(&pixels[channels..]).zip(pixels.iter().skip(2 * channels));
            for (row, ((&before, &here), &after)) in rows[channels..].iter_mut().zip(neighbors) {
                *row = mix(before, here, after);
            }
            for channel in 0..channels {
                // The neighbor of an outermost pixel counts twice.
                let last = line - channels + channel;
                let [first_neighbor, last_neighbor] =
                    if line == channels { [channel; 2] } else { [channels + channel, last - channels] };
                rows[channel] = mix(pixels[first_neighbor], pixels[channel], pixels[first_neighbor]);
                rows[last] = mix(pixels[last_neighbor], pixels[last], pixels[last_neighbor]);
            }
        }
        let height = pixels.len() / line;
        let (side, center) = (u32::from(side), u32::from(center));
        for (i, pixels) in pixels.chunks_exact_mut(line).enumerate() {
            let row = |i: usize| &rows[i * line..][..line];
            let above = row(if i == 0 { 1.min(height - 1) } else { i - 1 });
            let below = row(if i + 1 == height { i.saturating_sub(1) } else { i + 1 });
            for (pixel, ((&above, &here), &below)) in
                pixels.iter_mut().zip(above.iter().zip(row(i)).zip(below))
            {
                let sum = side * (u32::from(above) + u32::from(below)) + center * u32::from(here);
                *pixel = ((sum + (1 << 15)) >> 16) as u8; // at most 255
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blur as its definition has it, in floating point.
    fn expected(pixels: &[u8], width: usize, channels: usize, sigma: f64) -> Vec<f64> {
        let height = pixels.len() / width / channels;
        let reflect = |i: i64, n: usize| {
            let last = n as i64 - 1;
            (if i < 0 {
                (-i).min(last)
            } else if i > last {
                (2 * last - i).max(0)
            } else {
                i
            }) as usize
        };
        let weight = |d: i64| (-0.5 * (d * d) as f64 / (sigma * sigma)).exp();
        let total = weight(0) + 2.0 * weight(1);
        let mut blurred = vec![];
        for (y, x, c) in
            (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| (y, x, c))))
        {
            let mut sum = 0.0;
            for (i, j) in (-1..2).flat_map(|i| (-1..2).map(move |j| (i, j))) {
                let (row, column) = (reflect(y as i64 + i, height), reflect(x as i64 + j, width));
                let pixel = pixels[(row * width + column) * channels + c];
                sum += weight(i) * weight(j) * f64::from(pixel);
            }
            blurred.push(sum / (total * total));
        }
        blurred
    }

    #[test]
    fn a_blur_weighs_each_pixel_by_its_distance() {
        let mut rng = Rng::new(1);
        for (height, width, channels) in [(5, 7, 1), (4, 6, 3), (1, 5, 3), (5, 1, 3), (1, 1, 1), (2, 2, 3)] {
            for sigma in [0.5, 0.77, 1.0] {
                let pixels: Vec<u8> = (0..height * width * channels).map(|_| rng.below(256) as u8).collect();
                let wanted = expected(&pixels, width, channels, sigma);
                for simd in Simd::available() {
                    let mut blurred = pixels.clone();
                    Blur::default().apply(&mut blurred, width, channels, sigma, simd);
                    // Weights are rounded to 1/256.
                    assert!(blurred.iter().zip(&wanted).all(|(&b, w)| (f64::from(b) - w).abs() < 2.0));
                }
            }
        }
    }
}
