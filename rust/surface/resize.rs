//! Bilinear resizing, in integers: the same on every backend.

use crate::simd::{Kernel, Lanes, Simd};

/// The sum of the weights of two neighbors, as in OpenCV.
const ONE: u32 = 1 << 11;

/// Scratch of a resizing.
#[derive(Default)]
pub(crate) struct Resize {
    rows: Vec<Pair>,
    columns: Vec<Pair>,
    /// A row between two rows of the image, times `ONE`.
    between: Vec<u32>,
}

/// Two neighboring rows or columns of an image, which one row or column of the result lies between.
#[derive(Clone, Copy)]
struct Pair {
    first: usize,
    second: usize,
    /// The weight of the second, of `ONE`.
    weight: u32,
}

impl Resize {
    /// Resizes an image with `channels` bytes per pixel, 1 or 3, from one (height, width) to another.
    ///
    /// Pixel centers are aligned as in torch with `align_corners=False`. Each output pixel is
    /// interpolated from the four around its center, without antialiasing: a smaller image skips
    /// pixels, as with OpenCV's `INTER_LINEAR`.
    pub(crate) fn apply(
        &mut self,
        image: &[u8],
        from: [usize; 2],
        channels: usize,
        to: [usize; 2],
        simd: Simd,
        resized: &mut [u8],
    ) {
        pairs(from[0], to[0], &mut self.rows);
        pairs(from[1], to[1], &mut self.columns);
        self.between.resize(from[1] * channels, 0);
        simd.run(Apply { scratch: self, image, channels, resized });
    }
}

/// Finds the neighbors of each of `to` rows or columns among `from`.
fn pairs(from: usize, to: usize, pairs: &mut Vec<Pair>) {
    pairs.clear();
    let last = (from - 1) as f64;
    pairs.extend((0..to).map(|i| {
        let center = ((i as f64 + 0.5) * (from as f64 / to as f64) - 0.5).clamp(0.0, last);
        let first = center as usize; // truncates
        let weight = ((center - first as f64) * f64::from(ONE) + 0.5) as u32; // rounds; at most ONE
        Pair { first, second: (first + 1).min(from - 1), weight }
    }));
}

struct Apply<'a> {
    scratch: &'a mut Resize,
    image: &'a [u8],
    channels: usize,
    resized: &'a mut [u8],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops, which the compiler vectorizes for each backend.
        let Self { scratch: Resize { rows, columns, between }, image, channels, resized } = self;
        let line = between.len();
        for (row, resized) in rows.iter().zip(resized.chunks_exact_mut(columns.len() * channels)) {
            let [first, second] = [row.first, row.second].map(|row| &image[row * line..][..line]);
            for ((between, &first), &second) in between.iter_mut().zip(first).zip(second) {
                *between = mix(u32::from(first), u32::from(second), row.weight); // less than 2¹⁹
            }
            if channels == 3 {
                put::<3>(between, columns, resized);
            } else {
                put::<1>(between, columns, resized);
            }
        }
    }
}

/// Writes a row of the result.
#[inline(always)]
fn put<const N: usize>(between: &[u32], columns: &[Pair], resized: &mut [u8]) {
    let between = between.as_chunks::<N>().0;
    for (to, column) in resized.as_chunks_mut::<N>().0.iter_mut().zip(columns) {
        let (first, second) = (&between[column.first], &between[column.second]);
        *to = std::array::from_fn(|channel| {
            let sum = mix(first[channel], second[channel], column.weight);
            ((sum + ONE * ONE / 2) / (ONE * ONE)) as u8 // rounds; at most 255
        });
    }
}

#[inline(always)]
fn mix(first: u32, second: u32, weight: u32) -> u32 {
    first * (ONE - weight) + second * weight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    /// The resizing as its definition has it, in floating point.
    fn expected(image: &[u8], from: [usize; 2], channels: usize, to: [usize; 2]) -> Vec<f64> {
        let pixel = |row: usize, column: usize, channel: usize| {
            f64::from(image[(row * from[1] + column) * channels + channel])
        };
        let center = |i: usize, from: usize, to: usize| {
            ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64)
        };
        let mut resized = vec![];
        for (row, column) in (0..to[0]).flat_map(|row| (0..to[1]).map(move |column| (row, column))) {
            let (y, x) = (center(row, from[0], to[0]), center(column, from[1], to[1]));
            for channel in 0..channels {
                let mut sum = 0.0;
                for (row, column) in (0..from[0]).flat_map(|row| (0..from[1]).map(move |c| (row, c))) {
                    let weight = |at: f64, cell: usize| (1.0 - (at - cell as f64).abs()).max(0.0);
                    sum += weight(y, row) * weight(x, column) * pixel(row, column, channel);
                }
                resized.push(sum);
            }
        }
        resized
    }

    #[test]
    fn a_pixel_is_made_of_the_four_around_its_center() {
        let mut rng = Rng::new(2);
        for (from, channels, to) in [
            ([8, 8], 3, [5, 5]),
            ([6, 9], 1, [13, 4]),
            ([5, 7], 3, [5, 7]),
            ([3, 1], 3, [7, 2]),
            ([16, 16], 1, [2, 3]),
        ] {
            let image: Vec<u8> = (0..from[0] * from[1] * channels).map(|_| rng.below(256) as u8).collect();
            let wanted = expected(&image, from, channels, to);
            for simd in Simd::available() {
                let mut resized = vec![0; wanted.len()];
                Resize::default().apply(&image, from, channels, to, simd, &mut resized);
                // Weights are rounded to 1/2048.
                assert!(resized.iter().zip(&wanted).all(|(&r, w)| (f64::from(r) - w).abs() < 0.8));
                assert!(from != to || resized == image);
            }
        }
    }

    #[test]
    fn images_are_resized_as_opencv_resizes_them() {
        // cv2.resize(…, interpolation=cv2.INTER_LINEAR) of OpenCV 5.0, which may round a byte otherwise.
        let image = [0, 255, 10, 90, 33, 200, 77];
        let wanted: [&[u8]; 2] = [&[96, 20, 40, 123], &[0, 140, 194, 22, 62, 70, 41, 158, 145, 77]];
        for wanted in wanted {
            let (width, mut resized) = (wanted.len(), vec![0; wanted.len()]);
            Resize::default().apply(&image, [1, 7], 1, [1, width], Simd::PLAIN, &mut resized);
            assert!(resized.iter().zip(wanted).all(|(r, w)| r.abs_diff(*w) <= 1), "{resized:?}");
        }
    }
}
