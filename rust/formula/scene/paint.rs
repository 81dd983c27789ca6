//! The image and the map of a scene, painted from front to back: each pixel keeps the first object
//! that shows something in it.

use crate::formula::scene::layout::Object;
use crate::frame::Window;

/// The whole scene, top row first.
#[derive(Default)]
pub(super) struct Canvas {
    /// One byte per pixel, or three in color.
    pub(super) image: Vec<u8>,
    /// 0 for the background, else the number of the object, counted from 1.
    pub(super) map: Vec<u16>,
    height: usize,
    width: usize,
}

/// How the pixels of an object are painted.
#[derive(Clone, Copy)]
pub(super) enum Paint {
    /// Unchanged.
    Own,
    /// Gray pixels become shades of one color.
    Color([u8; 3]),
}

impl Canvas {
    /// Sets the size and clears the map; the caller fills the image.
    pub(super) fn clear(&mut self, height: usize, width: usize, channels: usize) {
        (self.height, self.width) = (height, width);
        self.map.clear();
        self.map.resize(height * width, 0);
        self.image.resize(height * width * channels, 0);
    }

    /// Paints an object behind the existing ones, unless it is covered completely, or by a share of
    /// more than `max_covered`. `ground` is the byte where it shows nothing.
    pub(super) fn put(
        &mut self,
        object: &Object,
        pixels: &[u8],
        ground: Option<u8>,
        paint: Paint,
        max_covered: f64,
    ) {
        let color = self.image.len() == 3 * self.map.len();
        match (paint, color) {
            (Paint::Own, false) => self.place(object, pixels.as_chunks::<1>().0, ground, max_covered, |p| p),
            (Paint::Own, true) => self.place(object, pixels.as_chunks::<3>().0, ground, max_covered, |p| p),
            (Paint::Color(color), of_three) => {
                let away = |pixel: u8| if ground == Some(255) { 255 - pixel } else { pixel };
                let peak = pixels.iter().map(|&pixel| u32::from(away(pixel))).max().unwrap_or(1).max(1);
                // At least 1: visible pixels are never black.
                let shade =
                    |color: u8, gray: u8| (u32::from(color) * u32::from(away(gray)) / peak).max(1) as u8;
                let pixels = pixels.as_chunks::<1>().0;
                if of_three {
                    self.place(object, pixels, ground, max_covered, |[p]| color.map(|c| shade(c, p)));
                } else {
                    self.place(object, pixels, ground, max_covered, |[p]| [shade(color[0], p)]);
                }
            }
        }
    }

    fn place<const N: usize, const M: usize>(
        &mut self,
        &Object { number, side, top, left, .. }: &Object,
        pixels: &[[u8; N]],
        ground: Option<u8>,
        max_covered: f64,
        paint: impl Fn([u8; N]) -> [u8; M],
    ) {
        let shows = |pixel: &[u8; N]| match ground {
            Some(ground) => pixel.iter().fold(false, |shown, &byte| shown | (byte != ground)),
            None => true,
        };
        let inside = |start: i64, size: usize| {
            let first = (-start).max(0);
            (first as usize, (size as i64 - start).clamp(first, side as i64) as usize)
        };
        let ((first_row, end_row), (first, end)) = (inside(top, self.height), inside(left, self.width));
        let width = self.width;
        let rows = || {
            (first_row..end_row).map(|row| {
                let cell = (top + row as i64) as usize * width + (left + first as i64) as usize;
                (cell..cell + end - first, &pixels[row * side..][first..end])
            })
        };
        let (mut total, mut free) = (0u32, 0u32);
        for (cells, pixels) in rows() {
            for (&over, pixel) in self.map[cells].iter().zip(pixels) {
                let shown = shows(pixel);
                total += u32::from(shown);
                free += u32::from(shown & (over == 0));
            }
        }
        if free == 0 || f64::from(total - free) > max_covered * f64::from(total) {
            return;
        }
        let number = number as u16 + 1; // at most 1000
        let image = self.image.as_chunks_mut::<M>().0;
        for (cells, pixels) in rows() {
            let under = self.map[cells.clone()].iter_mut().zip(&mut image[cells]);
            for ((over, to), pixel) in under.zip(pixels) {
                if *over == 0 && shows(pixel) {
                    *over = number;
                    *to = paint(*pixel);
                }
            }
        }
    }

    /// Writes the window of the image.
    pub(super) fn show(&self, window: Window, pixels: &mut [u8]) {
        let window = window.from_top();
        if self.image.len() == self.map.len() {
            window.write(&self.image, self.width, pixels, |gray| gray);
        } else {
            let pixels = pixels.as_chunks_mut().0;
            window.write(self.image.as_chunks::<3>().0, self.width, pixels, |color| color);
        }
    }

    /// Writes the window of the map.
    pub(super) fn show_map(&self, window: Window, map: &mut [u16]) {
        window.from_top().write(&self.map, self.width, map, |object| object);
    }

    /// Returns whether the window shows an object.
    pub(super) fn shows(&self, window: Window, number: u16) -> bool {
        (0..window.height).any(|row| {
            let first = window.from_top().surface_row(row) * self.width + window.first_column();
            self.map[first..][..window.width].contains(&number)
        })
    }

    /// Returns a cell of an object; row 0 is at the bottom.
    pub(super) fn cell(&self, number: u16) -> Option<(usize, usize)> {
        let cell = self.map.iter().position(|&shown| shown == number)?;
        Some((self.height - 1 - cell / self.width, cell % self.width))
    }
}
