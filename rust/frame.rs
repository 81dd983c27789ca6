//! The settings shared by all families: size, crop, flips, color, and resampling of degenerate
//! images.

use serde::Deserialize;

use crate::error::Error;

/// The number of flips: none, top-bottom, left-right, both.
pub(crate) const FLIPS: u64 = 4;

/// The size of a crop, and how it is positioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Rows kept.
    pub height: usize,
    /// Columns kept.
    pub width: usize,
    /// Whether the position is random for each image; otherwise the crop is centered.
    pub random: bool,
}

/// The settings shared by all families.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Frame {
    /// Rows of the whole image.
    pub height: usize,
    /// Columns of the whole image.
    pub width: usize,
    /// The crop; `None` keeps the whole image.
    pub crop: Option<Crop>,
    /// Whether `index % 4` selects a flip of the image.
    pub flips: bool,
    /// Whether a pixel is three bytes (RGB) rather than one (gray).
    pub color: bool,
    /// Whether a degenerate image (diverged, or nearly black) is re-rendered with other random
    /// numbers.
    pub resample_degenerate: bool,
}

impl Default for Frame {
    fn default() -> Self {
        Self { height: 256, width: 256, crop: None, flips: true, color: false, resample_degenerate: true }
    }
}

/// The settings in the JSON that Python writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    size: (usize, usize),
    crop: Option<(usize, usize)>,
    crop_position: CropPosition,
    flips: bool,
    color: bool,
    resample_degenerate: bool,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum CropPosition {
    Random,
    Center,
}

impl TryFrom<Settings> for Frame {
    type Error = Error;

    fn try_from(settings: Settings) -> Result<Self, Error> {
        let Settings { size: (height, width), crop, crop_position, flips, color, resample_degenerate } =
            settings;
        let random = crop_position == CropPosition::Random;
        let crop = crop.map(|(height, width)| Crop { height, width, random });
        Self { height, width, crop, flips, color, resample_degenerate }.checked()
    }
}

impl Frame {
    /// Checks that the settings are in range and fit together, and returns them.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Size`] unless each side is between 16 and 4096, and [`Error::Crop`] unless each side
    /// of the crop is between 1 and that of the image.
    pub fn checked(self) -> Result<Self, Error> {
        self.check().map(|()| self)
    }

    /// Checks that the settings are in range and fit together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self { height, width, .. } = *self;
        if ![height, width].iter().all(|side| (16..=4096).contains(side)) {
            return Err(Error::Size { height, width });
        }
        if let Some(Crop { height: crop_height, width: crop_width, .. }) = self.crop
            && !((1..=height).contains(&crop_height) && (1..=width).contains(&crop_width))
        {
            return Err(Error::Crop { height, width, crop_height, crop_width });
        }
        Ok(())
    }

    /// Checks that a margin of `margin` pixels on each side leaves at least 2 pixels.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Margin`] if it leaves fewer.
    pub fn check_margin(&self, margin: usize) -> Result<(), Error> {
        let smaller = self.height.min(self.width);
        if margin > (smaller - 2) / 2 { Err(Error::Margin { margin, smaller }) } else { Ok(()) }
    }

    /// Returns the margin that looks like one of `margin` pixels in an image of the size of `from`.
    pub fn scaled_margin(&self, margin: usize, from: &Self) -> usize {
        let smaller = |frame: &Self| frame.height.min(frame.width);
        (margin * smaller(self) / smaller(from)).min((smaller(self) - 2) / 2)
    }

    /// Returns the (height, width) after cropping.
    pub fn output_size(&self) -> (usize, usize) {
        self.crop.map_or((self.height, self.width), |crop| (crop.height, crop.width))
    }

    /// Returns the bytes per pixel: 3 in color, 1 in gray.
    pub fn channels(&self) -> usize {
        if self.color { 3 } else { 1 }
    }

    /// Returns the number of bytes of one image.
    pub fn bytes(&self) -> usize {
        let (height, width) = self.output_size();
        height * width * self.channels()
    }
}

/// The part of the image to keep, and how it is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the whole image.
    pub of: (usize, usize),
    /// The first row kept, counted after flipping.
    pub top: usize,
    /// The first column kept, counted after flipping.
    pub left: usize,
    /// Rows kept.
    pub height: usize,
    /// Columns kept.
    pub width: usize,
    /// Whether the first row of the window is the last of the surface: y points up, so this is true for an
    /// image that is not flipped.
    pub flip_rows: bool,
    /// Whether left and right are swapped.
    pub flip_columns: bool,
}

impl Window {
    /// Returns the window that keeps the whole image, unflipped.
    pub fn whole(height: usize, width: usize) -> Self {
        let of = (height, width);
        Self { of, top: 0, left: 0, height, width, flip_rows: false, flip_columns: false }
    }

    /// Moves the window so that it shows a cell of the surface, as close to its center as possible.
    pub fn show(&mut self, (row, column): (usize, usize)) {
        let (height, width) = self.of;
        let row = if self.flip_rows { height - 1 - row } else { row };
        let column = if self.flip_columns { width - 1 - column } else { column };
        self.top = row.saturating_sub(self.height / 2).min(height - self.height);
        self.left = column.saturating_sub(self.width / 2).min(width - self.width);
    }

    /// Maps a row of the window to its row on the surface.
    pub fn surface_row(&self, row: usize) -> usize {
        let row = self.top + row;
        if self.flip_rows { self.of.0 - 1 - row } else { row }
    }

    /// Returns the same window of a surface whose rows are counted from the top.
    pub fn from_top(self) -> Self {
        Self { flip_rows: !self.flip_rows, ..self }
    }

    /// Writes the pixels of the window: `pixel` of each cell. `cells` are those of the whole surface,
    /// row by row, `stride` from one row to the next.
    ///
    /// The closure maps one cell and the direction is decided once per row, so the loops vectorize.
    #[inline(always)]
    pub fn write<C: Copy, P>(self, cells: &[C], stride: usize, pixels: &mut [P], pixel: impl Fn(C) -> P) {
        for (row, pixels) in pixels.chunks_exact_mut(self.width).enumerate() {
            let cells = &cells[self.surface_row(row) * stride + self.first_column()..][..self.width];
            if self.flip_columns {
                pixels.iter_mut().zip(cells.iter().rev()).for_each(|(to, &cell)| *to = pixel(cell));
            } else {
                pixels.iter_mut().zip(cells).for_each(|(to, &cell)| *to = pixel(cell));
            }
        }
    }

    /// Returns the leftmost surface column in the window.
    pub fn first_column(&self) -> usize {
        if self.flip_columns { self.of.1 - self.left - self.width } else { self.left }
    }

    /// Maps a column of the window to its column on the surface.
    pub fn surface_column(&self, column: usize) -> usize {
        let column = self.left + column;
        if self.flip_columns { self.of.1 - 1 - column } else { column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_scales_with_the_smaller_side_and_leaves_two_pixels() {
        let frame = |height, width| Frame { height, width, ..Frame::default() };
        let whole = frame(256, 300);
        let scaled = |margin, height, width| frame(height, width).scaled_margin(margin, &whole);
        assert_eq!([scaled(6, 64, 64), scaled(6, 256, 256), scaled(127, 17, 40)], [1, 6, 7]);
    }
}
