//! The part of a picture that is kept, and how it is mirrored; the same for every family.

use crate::address::{Address, Purpose};
use crate::rendering::Rendering;

/// Mirrorings: none, top-bottom, left-right, both.
pub const FLIPS: u64 = 4;

/// The part of the picture that is kept, and how it is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First row kept, in the mirrored picture.
    pub top: usize,
    /// First column kept, in the mirrored picture.
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
    /// Places the crop window and mirrors it; `attempt` counts redraws. Formulas let y grow
    /// upward, so the unmirrored picture turns the canvas over, as the authors' program does.
    pub(crate) fn of(address: Address, attempt: u64, rendering: &Rendering) -> Self {
        let flip = if rendering.flips { address.index % FLIPS } else { 0 };
        let (height, width) = rendering.output_size();
        let room = (rendering.height - height, rendering.width - width);
        let (top, left) = if rendering.crop.is_some_and(|crop| crop.random) {
            let mut rng = address.rng(Purpose::Crop, attempt);
            let top = rng.below(room.0 as u64 + 1);
            (top as usize, rng.below(room.1 as u64 + 1) as usize) // at most the room
        } else {
            (room.0 / 2, room.1 / 2)
        };
        Self { top, left, height, width, flip_rows: flip & 1 == 0, flip_columns: flip & 2 != 0 }
    }

    /// Moves the window so that a cell of the canvas lies in it, in the middle if there is room.
    pub(crate) fn show(&mut self, (row, column): (usize, usize), rendering: &Rendering) {
        let Rendering { height, width, .. } = *rendering;
        let row = if self.flip_rows { height - 1 - row } else { row };
        let column = if self.flip_columns { width - 1 - column } else { column };
        self.top = row.saturating_sub(self.height / 2).min(height - self.height);
        self.left = column.saturating_sub(self.width / 2).min(width - self.width);
    }

    /// Returns the row of the canvas that row `row` of the window shows.
    pub(crate) fn canvas_row(&self, row: usize, rendering: &Rendering) -> usize {
        let row = self.top + row;
        if self.flip_rows { rendering.height - 1 - row } else { row }
    }

    /// Returns the first column of the canvas that is kept.
    pub(crate) fn first_column(&self, rendering: &Rendering) -> usize {
        if self.flip_columns { rendering.width - self.left - self.width } else { self.left }
    }

    /// Returns the column of the canvas that column `column` of the window shows.
    pub(crate) fn canvas_column(&self, column: usize, rendering: &Rendering) -> usize {
        let column = self.left + column;
        if self.flip_columns { rendering.width - 1 - column } else { column }
    }
}

/// Returns the address whose random streams draw the picture: the four mirrorings of a
/// picture share them, so that they are mirror images.
pub(crate) fn unmirrored(address: Address, rendering: &Rendering) -> Address {
    let flip = if rendering.flips { address.index % FLIPS } else { 0 };
    Address { index: address.index - flip, ..address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_images_share_their_streams_unless_nothing_is_mirrored() {
        let address = Address { seed: 1, category: 2, index: 7 };
        let flips = Rendering::default();
        assert_eq!(unmirrored(address, &flips).index, 4);
        assert_eq!(unmirrored(address, &Rendering { flips: false, ..flips }).index, 7);
    }
}
