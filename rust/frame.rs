//! What every family obeys: size, crop, flips, color, and what becomes of degenerate images.

use serde::Deserialize;

use crate::error::Error;

/// Flips: none, top-bottom, left-right, both.
pub const FLIPS: u64 = 4;

/// A part of the image to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Rows kept.
    pub height: usize,
    /// Columns kept.
    pub width: usize,
    /// Anywhere, drawn for each image; else the center.
    pub random: bool,
}

/// What every family obeys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Frame {
    /// Rows of the whole image.
    pub height: usize,
    /// Columns of the whole image.
    pub width: usize,
    /// What is kept of the image; `None` keeps it whole.
    pub crop: Option<Crop>,
    /// Whether `index % 4` flips the image.
    pub flips: bool,
    /// Red, green and blue bytes per pixel instead of one gray byte.
    pub color: bool,
    /// Whether a degenerate image (diverged, or nearly black) is rendered again with other
    /// random numbers.
    pub resample_degenerate: bool,
}

impl Default for Frame {
    fn default() -> Self {
        Self { height: 256, width: 256, crop: None, flips: true, color: false, resample_degenerate: true }
    }
}

/// The settings as Python and JSON write them.
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
    /// Checks the settings against each other and hands them on.
    pub fn checked(self) -> Result<Self, Error> {
        let Self { height, width, .. } = self;
        if ![height, width].iter().all(|side| (16..=4096).contains(side)) {
            return Err(Error::Size { height, width });
        }
        if let Some(Crop { height: crop_height, width: crop_width, .. }) = self.crop
            && !((1..=height).contains(&crop_height) && (1..=width).contains(&crop_width))
        {
            return Err(Error::Crop { height, width, crop_height, crop_width });
        }
        Ok(self)
    }

    /// Checks that `margin` leaves pixels on each side.
    pub fn check_margin(&self, margin: usize) -> Result<(), Error> {
        let smaller = self.height.min(self.width);
        if margin > (smaller - 2) / 2 { Err(Error::Margin { margin, smaller }) } else { Ok(()) }
    }

    /// Returns the (height, width) of what is kept.
    pub fn output_size(&self) -> (usize, usize) {
        self.crop.map_or((self.height, self.width), |crop| (crop.height, crop.width))
    }

    /// Returns 3 in color, else 1.
    pub fn channels(&self) -> usize {
        if self.color { 3 } else { 1 }
    }

    /// Returns the number of bytes of one image.
    pub fn bytes(&self) -> usize {
        let (height, width) = self.output_size();
        height * width * self.channels()
    }
}

/// The part of the image that is kept, and how it is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the whole image.
    pub of: (usize, usize),
    /// First row kept, in the flipped image.
    pub top: usize,
    /// First column kept, in the flipped image.
    pub left: usize,
    /// Rows kept.
    pub height: usize,
    /// Columns kept.
    pub width: usize,
    /// Top and bottom change places.
    pub flip_rows: bool,
    /// Left and right change places.
    pub flip_columns: bool,
}

impl Window {
    /// Moves the window so that a cell of the surface lies in it, in the middle if there is room.
    pub fn show(&mut self, (row, column): (usize, usize)) {
        let (height, width) = self.of;
        let row = if self.flip_rows { height - 1 - row } else { row };
        let column = if self.flip_columns { width - 1 - column } else { column };
        self.top = row.saturating_sub(self.height / 2).min(height - self.height);
        self.left = column.saturating_sub(self.width / 2).min(width - self.width);
    }

    /// Returns the row of the surface that row `row` of the window shows.
    pub fn surface_row(&self, row: usize) -> usize {
        let row = self.top + row;
        if self.flip_rows { self.of.0 - 1 - row } else { row }
    }

    /// Returns the first column of the surface that is kept.
    pub fn first_column(&self) -> usize {
        if self.flip_columns { self.of.1 - self.left - self.width } else { self.left }
    }

    /// Returns the column of the surface that column `column` of the window shows.
    pub fn surface_column(&self, column: usize) -> usize {
        let column = self.left + column;
        if self.flip_columns { self.of.1 - 1 - column } else { column }
    }
}
