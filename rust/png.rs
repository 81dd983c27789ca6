//! Pictures as PNG files, at the smallest depth that loses nothing.
//!
//! A gray picture of fractals is black and 127: a palette of two colours, one bit a pixel.
//! How well and how fast the levels do stands in `benches/`; `cargo bench png`.

use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter};

/// Of 1…9. On 1-bit fractals at 256² 4 writes 5.1 kB, 1 writes 5.3 and is no faster, 9 writes
/// 5.07; on colour 1 takes two thirds of the time for 7 % more, 6 twice for 0.3 % less.
const LEVEL: u8 = 4;

/// Encodes rows of one gray byte, or three colour bytes, a pixel. The crate is pure Rust: the
/// same pixels give the same file on every machine, for one version of this crate.
///
/// ```
/// let file = fdsl::png::encode(&[0, 127, 127, 0], 2, 2, 1);
/// assert!(file.starts_with(b"\x89PNG"));
/// ```
pub fn encode(pixels: &[u8], height: usize, width: usize, channels: usize) -> Vec<u8> {
    debug_assert_eq!(pixels.len(), height * width * channels);
    let mut file = vec![];
    let mut encoder = Encoder::new(&mut file, width as u32, height as u32); // a sheet's at most, 2²⁸
    encoder.set_deflate_compression(DeflateCompression::Level(LEVEL));
    let palette = match channels {
        3 => Palette::of(pixels.as_chunks().0.iter().copied()),
        // Gray as it is needs eight bits, too, and no palette.
        _ => Some(Palette::of_gray(pixels)).filter(|palette| palette.bits() < 8),
    };
    let packed;
    let data = match &palette {
        Some(palette) => {
            encoder.set_color(ColorType::Indexed);
            encoder.set_depth(palette.depth());
            encoder.set_palette(palette.colors.as_flattened());
            // Differences between numbers of colours mean nothing.
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
    // A vector can always be written to, and the sizes match.
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(data).expect("the pixels of the header");
    writer.finish().expect("an end");
    file
}

/// The colours of a picture and the number of each pixel's.
struct Palette {
    colors: Vec<[u8; 3]>,
    numbers: Vec<u8>,
}

impl Palette {
    /// Numbers the grays.
    fn of_gray(pixels: &[u8]) -> Self {
        let mut seen = [false; 256];
        pixels.iter().for_each(|&gray| seen[usize::from(gray)] = true);
        let mut number_of = [0; 256];
        let mut colors = vec![];
        for gray in (0..=255).filter(|&gray| seen[usize::from(gray)]) {
            number_of[usize::from(gray)] = colors.len() as u8; // at most 255
            colors.push([gray; 3]);
        }
        let numbers = pixels.iter().map(|&gray| number_of[usize::from(gray)]).collect();
        Self { colors, numbers }
    }

    /// Numbers the colours; `None` if there are more than 256.
    fn of(pixels: impl ExactSizeIterator<Item = [u8; 3]>) -> Option<Self> {
        /// A power of two with room enough that few colours meet in a place.
        const PLACES: usize = 2048;
        let mut colors: Vec<[u8; 3]> = vec![];
        let mut numbers = Vec::with_capacity(pixels.len());
        let mut places = [u16::MAX; PLACES]; // of a table with open addressing
        for color in pixels {
            let [r, g, b] = color.map(u32::from);
            let hash = (r << 16 | g << 8 | b).wrapping_mul(0x9E37_79B1) >> 21; // eleven bits
            let mut place = hash as usize;
            let number = loop {
                let number = places[place];
                if number == u16::MAX {
                    if colors.len() == 256 {
                        return None;
                    }
                    places[place] = colors.len() as u16; // under 256
                    colors.push(color);
                    break places[place];
                }
                if colors[usize::from(number)] == color {
                    break number;
                }
                place = (place + 1) % PLACES;
            };
            numbers.push(number as u8);
        }
        Some(Self { colors, numbers })
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

    /// Packs the numbers, the leftmost pixel in the highest bits; each row starts a new byte.
    fn pack(&self, width: usize) -> Vec<u8> {
        let bits = self.bits();
        let a_byte = 8 / bits;
        let rows = self.numbers.chunks(width);
        let mut packed = Vec::with_capacity(rows.len() * width.div_ceil(a_byte));
        for row in rows {
            packed.extend(row.chunks(a_byte).map(|numbers| {
                let shift = |(place, &number): (usize, &u8)| number << (8 - bits * (place + 1));
                numbers.iter().enumerate().map(shift).fold(0, |byte, number| byte | number)
            }));
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes to one or three bytes a pixel, and returns the bits a pixel of the file.
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

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_is_what_was_written(
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
