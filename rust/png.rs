//! PNG encoding at the smallest lossless bit depth.
//!
//! A gray fractal has only the values 0 and 127: a palette of two colors, one bit per pixel.
//! `cargo bench png` measures size and speed.

use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter};

/// The compression level, 1 to 9. For a 1-bit fractal of 256², level 4 writes 5.1 kB; level 1 writes
/// 5.3 kB and is no faster, level 9 writes 5.07 kB. In color, level 1 takes two thirds of the time for
/// 7% more bytes, level 6 twice the time for 0.3% fewer.
const LEVEL: u8 = 4;

/// Encodes an image with one (gray) or three (RGB) bytes per pixel. The png crate is pure Rust, so for
/// one version of it the same pixels give the same file on every machine.
///
/// ```
/// let file = fdsl::png::encode(&[0, 127, 127, 0], 2, 2, 1);
/// assert!(file.starts_with(b"\x89PNG"));
/// ```
pub fn encode(pixels: &[u8], height: usize, width: usize, channels: usize) -> Vec<u8> {
    debug_assert_eq!(pixels.len(), height * width * channels);
    let mut file = vec![];
    let mut encoder = Encoder::new(&mut file, width as u32, height as u32); // at most 2²⁸, for a sheet
    encoder.set_deflate_compression(DeflateCompression::Level(LEVEL));
    let palette = match channels {
        3 => Palette::of(pixels.as_chunks().0.iter().copied()),
        // With eight bits per pixel, plain gray is as small and needs no palette.
        _ => Some(Palette::of_gray(pixels)).filter(|palette| palette.bits() < 8),
    };
    let packed;
    let data = match &palette {
        Some(palette) => {
            encoder.set_color(ColorType::Indexed);
            encoder.set_depth(palette.depth());
            encoder.set_palette(palette.colors.as_flattened());
            // Filters predict values, and palette indices are not predictable.
            encoder.set_filter(Filter::NoFilter);
            packed = palette.pack(width);
            &packed
        }
        None => {
            encoder.set_color(if channels == 3 { ColorType::Rgb } else { ColorType::Grayscale });
            encoder.set_depth(BitDepth::Eight);
            encoder.set_filter(Filter::Adaptive);
            pixels
        }
    };
    // Writing to a vector cannot fail, and the sizes match.
    let mut writer = encoder.write_header().expect("valid header");
    writer.write_image_data(data).expect("data of the size in the header");
    writer.finish().expect("all data written");
    file
}

/// The colors of an image, and the index of each pixel's color.
struct Palette {
    colors: Vec<[u8; 3]>,
    indices: Vec<u8>,
}

impl Palette {
    /// Creates the palette of a gray image.
    fn of_gray(pixels: &[u8]) -> Self {
        let mut seen = [false; 256];
        pixels.iter().for_each(|&gray| seen[usize::from(gray)] = true);
        let mut index_of = [0; 256];
        let mut colors = vec![];
        for gray in (0..=255).filter(|&gray| seen[usize::from(gray)]) {
            index_of[usize::from(gray)] = colors.len() as u8; // at most 255
            colors.push([gray; 3]);
        }
        let indices = pixels.iter().map(|&gray| index_of[usize::from(gray)]).collect();
        Self { colors, indices }
    }

    /// Creates the palette of a color image; `None` if it has more than 256 colors.
    fn of(pixels: impl ExactSizeIterator<Item = [u8; 3]>) -> Option<Self> {
        /// The size of a hash table with open addressing: a power of two, large enough that
        /// collisions are rare.
        const SLOTS: usize = 2048;
        let mut colors: Vec<[u8; 3]> = vec![];
        let mut indices = Vec::with_capacity(pixels.len());
        let mut slots = [u16::MAX; SLOTS];
        for color in pixels {
            let [r, g, b] = color.map(u32::from);
            let hash = (r << 16 | g << 8 | b).wrapping_mul(0x9E37_79B1) >> 21; // eleven bits
            let mut slot = hash as usize;
            let index = loop {
                let index = slots[slot];
                if index == u16::MAX {
                    if colors.len() == 256 {
                        return None;
                    }
                    slots[slot] = colors.len() as u16; // under 256
                    colors.push(color);
                    break slots[slot];
                }
                if colors[usize::from(index)] == color {
                    break index;
                }
                slot = (slot + 1) % SLOTS;
            };
            indices.push(index as u8); // under 256
        }
        Some(Self { colors, indices })
    }

    fn bits(&self) -> usize {
        match self.colors.len() {
            0..=2 => 1,
            3..=4 => 2,
            5..=16 => 4,
            _ => 8,
        }
    }

    fn depth(&self) -> BitDepth {
        match self.bits() {
            1 => BitDepth::One,
            2 => BitDepth::Two,
            4 => BitDepth::Four,
            _ => BitDepth::Eight,
        }
    }

    /// Packs the indices, with the leftmost pixel in the highest bits. Each row starts a new byte.
    fn pack(&self, width: usize) -> Vec<u8> {
        let bits = self.bits();
        let per_byte = 8 / bits;
        let rows = self.indices.chunks(width);
        let mut packed = Vec::with_capacity(rows.len() * width.div_ceil(per_byte));
        for row in rows {
            packed.extend(row.chunks(per_byte).map(|indices| {
                let shifted = |(i, &index): (usize, &u8)| index << (8 - bits * (i + 1));
                indices.iter().enumerate().map(shifted).fold(0, |byte, index| byte | index)
            }));
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes to one or three bytes per pixel, and returns the bits per pixel of the file.
    fn decode(file: &[u8], channels: usize) -> (Vec<u8>, usize) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let bits = reader.info().bits_per_pixel();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        pixels.truncate(frame.buffer_size());
        if channels == 1 && frame.color_type == ColorType::Rgb {
            let rgb = pixels.as_chunks::<3>().0;
            assert!(rgb.iter().all(|[r, g, b]| r == g && g == b));
            pixels = rgb.iter().map(|rgb| rgb[0]).collect();
        }
        (pixels, bits)
    }

    #[test]
    fn a_palette_has_at_most_256_colors() {
        for (colors, expected) in [(256, 8), (257, 24)] {
            let pixels: Vec<u8> = (0..colors).flat_map(|i: u16| [(i >> 8) as u8, i as u8, 7]).collect();
            let (read, bits) = decode(&encode(&pixels, 1, usize::from(colors), 3), 3);
            assert_eq!((read, bits), (pixels, expected));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn decoding_returns_the_encoded_pixels_at_the_smallest_depth(
            height in 1..20usize, width in 1..40usize, channels in prop_oneof![Just(1usize), Just(3)],
            colors in 1..400usize, seed in any::<u64>(),
        ) {
            let mut rng = crate::address::Rng::new(seed);
            let palette: Vec<[u8; 3]> =
                (0..colors).map(|_| [0; 3].map(|_: u8| rng.below(256) as u8)).collect();
            let pixels: Vec<u8> = (0..height * width)
                .flat_map(|_| palette[rng.below(colors as u64) as usize][..channels].to_vec())
                .collect();
            let (read, bits) = decode(&encode(&pixels, height, width, channels), channels);
            prop_assert_eq!(read, &pixels[..]);
            let different = pixels.chunks(channels).collect::<std::collections::HashSet<_>>().len();
            let fewest = match different {
                0..=2 => 1,
                3..=4 => 2,
                5..=16 => 4,
                17..=256 => 8,
                _ => 24,
            };
            prop_assert_eq!(bits, fewest);
        }
    }
}
