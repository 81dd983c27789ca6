//! Which pixels are free: painting from front to back writes only those.

use crate::frame::Window;

/// Which pixels are free: a bit for each, 64 columns to a word.
#[derive(Debug, Default)]
pub(crate) struct Free {
    bits: Vec<u64>,
    /// Words per row.
    stride: usize,
    /// How many pixels are free.
    pub(crate) left: usize,
}

impl Free {
    /// Frees the pixels that are kept, and no others.
    pub(crate) fn open(&mut self, window: Window) {
        let (height, width) = window.of;
        self.stride = width.div_ceil(64);
        self.left = 0;
        self.bits.clear();
        self.bits.resize(height * self.stride, 0);
        let (from, to) = (window.first_column(), window.first_column() + window.width - 1);
        (0..window.height).for_each(|row| self.put(window.from_top().surface_row(row), from, to));
    }

    /// Calls `each` with the columns of a run that are free (the first one, and how many), and takes
    /// them.
    #[inline]
    pub(crate) fn take(&mut self, row: usize, from: usize, to: usize, mut each: impl FnMut(usize, usize)) {
        for (word, mask) in words(from, to) {
            let bits = &mut self.bits[row * self.stride + word];
            let mut taken = *bits & mask;
            *bits ^= taken;
            self.left -= taken.count_ones() as usize;
            while taken != 0 {
                let first = taken.trailing_zeros();
                let pixels = (taken >> first).trailing_ones();
                each(64 * word + first as usize, pixels as usize);
                // Adding at the first bit carries through the run.
                taken &= taken.wrapping_add(1 << first);
            }
        }
    }

    /// Returns whether any pixel of a square is free.
    #[inline]
    pub(crate) fn any(&self, [x, y]: [i64; 2], radius: i64, [width, height]: [i64; 2]) -> bool {
        let within = |at: i64, side: i64| at.clamp(0, side - 1) as usize; // inside the image
        let (from, to) = (within(x - radius, width), within(x + radius, width));
        let (top, bottom) = (within(y - radius, height), within(y + radius, height));
        words(from, to).any(|(word, mask)| {
            let column = self.bits[top * self.stride + word..=bottom * self.stride + word].iter();
            column.step_by(self.stride).any(|bits| bits & mask != 0)
        })
    }

    /// Frees a run.
    pub(crate) fn put(&mut self, row: usize, from: usize, to: usize) {
        for (word, mask) in words(from, to) {
            let bits = &mut self.bits[row * self.stride + word];
            self.left += (mask & !*bits).count_ones() as usize;
            *bits |= mask;
        }
    }
}

/// Returns the words of a run of columns, and their bits that belong to it.
fn words(from: usize, to: usize) -> impl Iterator<Item = (usize, u64)> {
    (from / 64..=to / 64).map(move |word| {
        let (first, last) = (from.saturating_sub(64 * word), (to - 64 * word).min(63));
        (word, u64::MAX >> (63 - last) & u64::MAX << first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_taken_is_no_longer_free_and_each_free_part_is_reported_once() {
        let window = Window { flip_rows: true, ..Window::whole(2, 200) };
        let mut free = Free::default();
        free.open(window);
        let mut taken = vec![];
        let mut take = |free: &mut Free, row, from, to| {
            taken.clear();
            free.take(row, from, to, |first, pixels| taken.push((first, pixels)));
            taken.clone()
        };
        assert_eq!(take(&mut free, 1, 60, 69), [(60, 4), (64, 6)]);
        assert_eq!(take(&mut free, 1, 50, 80), [(50, 10), (70, 11)]);
        assert_eq!(take(&mut free, 1, 50, 80), []);
        assert_eq!(free.left, 400 - 31);
        assert!(!free.any([65, 1], 0, [200, 2]) && free.any([65, 1], 1, [200, 2]));
        free.put(1, 79, 81);
        assert_eq!(free.left, 400 - 29);
        assert_eq!(take(&mut free, 1, 0, 199), [(0, 50), (79, 49), (128, 64), (192, 8)]);
    }
}
