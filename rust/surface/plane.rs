//! A plane of bytes for drawing lines; row 0 is the bottom one, as windows have it.

use std::ops::Range;

use crate::frame::Window;
use crate::simd::Simd;
use crate::surface::lines::Lines;
use crate::surface::{self, stroke};

/// One byte per cell: a gray, or the number of a color.
#[derive(Default)]
pub(crate) struct Plane {
    cells: Vec<u8>,
    height: usize,
    width: usize,
    /// Scratch of `Lines`.
    list: Vec<u32>,
    crossings: Crossings,
}

/// Where the edges of a polygon cross the rows; scratch of `fill_polygon`.
#[derive(Default)]
struct Crossings {
    /// Where the columns of each row begin, and where those of the last row end.
    firsts: Vec<usize>,
    /// For each row, where its next column goes.
    free: Vec<usize>,
    columns: Vec<f64>,
}

impl Plane {
    /// Takes a size and fills it.
    pub(crate) fn clear(&mut self, height: usize, width: usize, background: u8) {
        (self.height, self.width) = (height, width);
        self.cells.clear();
        self.cells.resize(height * width, background);
    }

    /// Draws a line `thick` cells wide: a square at every cell of the thin one.
    fn thick_line(&mut self, from: [i32; 2], to: [i32; 2], thick: usize, value: u8) {
        let (from, to) = (from.map(i64::from), to.map(i64::from));
        let reach = (thick / 2) as i64;
        // The cells of all squares along each axis.
        let extents = [0, 1]
            .map(|axis| from[axis].min(to[axis]) - reach..from[axis].max(to[axis]) - reach + thick as i64);
        let sizes = [self.width, self.height].map(|size| size as i64);
        let on_both =
            |holds: fn(&Range<i64>, i64) -> bool| (0..2).all(|axis| holds(&extents[axis], sizes[axis]));
        if !on_both(|extent, size| extent.start < size && extent.end > 0) {
            return;
        }
        if on_both(|extent, size| extent.start >= 0 && extent.end <= size) {
            // Rows of a known width: an image of VisualAtom or RCDB takes 0.6 times as long as with `fill`.
            // The images of published sets have lines of one pixel, and few are wider than these.
            match thick {
                2 => return self.squares::<2>(from, to, value),
                3 => return self.squares::<3>(from, to, value),
                4 => return self.squares::<4>(from, to, value),
                5 => return self.squares::<5>(from, to, value),
                6 => return self.squares::<6>(from, to, value),
                7 => return self.squares::<7>(from, to, value),
                8 => return self.squares::<8>(from, to, value),
                _ => {}
            }
        }
        stroke::pillow(from, to, |[x, y]| {
            let span = |low: i64, size: usize| {
                let clip = |v: i64| v.clamp(0, size as i64) as usize; // not negative
                clip(low)..clip(low + thick as i64)
            };
            let columns = span(x - reach, self.width);
            for row in span(y - reach, self.height) {
                self.cells[(self.height - 1 - row) * self.width..][columns.clone()].fill(value);
            }
        });
    }

    /// Draws a square of `N`² cells at every cell of a line; all of them must lie inside.
    fn squares<const N: usize>(&mut self, from: [i64; 2], to: [i64; 2], value: u8) {
        let reach = N / 2;
        stroke::pillow(from, to, |[x, y]| {
            let (x, y) = (x as usize - reach, y as usize - reach); // not negative
            let lowest = (self.height - N - y) * self.width + x;
            for row in self.cells[lowest..].chunks_mut(self.width).take(N) {
                row[..N].copy_from_slice(&[value; N]);
            }
        });
    }

    /// Draws lines from each corner to the next, and from the last to the first, as Pillow does. Corners
    /// are (column, row from the top) and may lie outside.
    pub(crate) fn closed_line(&mut self, corners: &[[i32; 2]], thick: usize, value: u8, simd: Simd) {
        if thick == 1 {
            let Self { cells, height, width, list, .. } = self;
            return simd.run(Lines { cells, size: [*height, *width], corners, value, list });
        }
        let mut from = corners[0];
        for &to in corners[1..].iter().chain(&corners[..1]) {
            self.thick_line(from, to, thick, value);
            from = to;
        }
    }

    /// Fills a polygon by the even-odd rule, border included.
    pub(crate) fn fill_polygon(&mut self, corners: &[[i32; 2]], value: u8, simd: Simd) {
        let height = self.height as i32; // at most 4096
        let next = || corners[1..].iter().chain(&corners[..1]);
        // Every edge and the rows that it crosses.
        let edges = || {
            corners.iter().zip(next()).map(|(a, b)| (a, b, a[1].min(b[1]).max(0)..a[1].max(b[1]).min(height)))
        };
        // Crossings sorted into rows: looking at every edge in every row takes ten times as long.
        let Crossings { firsts, free, columns } = &mut self.crossings;
        firsts.clear();
        firsts.resize(self.height + 1, 0);
        edges().for_each(|(_, _, rows)| rows.for_each(|y| firsts[y as usize + 1] += 1));
        for y in 0..self.height {
            firsts[y + 1] += firsts[y];
        }
        columns.clear();
        columns.resize(firsts[self.height], 0.0);
        free.clone_from(firsts);
        for (a, b, rows) in edges() {
            for y in rows {
                let along = f64::from(y - a[1]) / f64::from(b[1] - a[1]);
                let free = &mut free[y as usize];
                columns[*free] = f64::from(a[0]) + along * f64::from(b[0] - a[0]);
                *free += 1;
            }
        }
        for y in 0..self.height {
            let crossings = &mut columns[firsts[y]..firsts[y + 1]];
            crossings.sort_unstable_by(f64::total_cmp);
            let row = (self.height - 1 - y) * self.width;
            for &[first, last] in crossings.as_chunks::<2>().0 {
                let first = first.ceil().clamp(0.0, self.width as f64) as usize;
                let end = (last.floor() + 1.0).clamp(first as f64, self.width as f64) as usize;
                self.cells[row..][first..end].fill(value);
            }
        }
        self.closed_line(corners, 1, value, simd);
    }

    /// Writes the cells of the window as the numbers of objects.
    pub(crate) fn show_map(&self, window: Window, map: &mut [u16]) {
        window.write(&self.cells, window.of.1, map, u16::from);
    }

    /// Fills a row, counted from the bottom.
    pub(crate) fn fill_row(&mut self, row: usize, value: u8) {
        self.cells[row * self.width..][..self.width].fill(value);
    }

    /// Writes the pixels of the window, as grays or in the colors that the cells number.
    pub(crate) fn show(
        &self,
        window: Window,
        colors: Option<&[[u8; 3]; 256]>,
        color: bool,
        pixels: &mut [u8],
    ) {
        match colors {
            Some(colors) => {
                debug_assert!(color);
                surface::show_colors(&self.cells, window, colors, pixels);
            }
            None => surface::show_gray(&self.cells, window, color, pixels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    /// The cells of lines there and back, one after the other, by the rule alone.
    fn slow(height: usize, width: usize, lines: &[([i32; 2], [i32; 2], u8)]) -> Vec<u8> {
        let mut cells = vec![9; height * width];
        for &(from, to, value) in lines {
            for (from, to) in [(from, to), (to, from)] {
                stroke::pillow(from.map(i64::from), to.map(i64::from), |[x, y]| {
                    if (0..width as i64).contains(&x) && (0..height as i64).contains(&y) {
                        cells[y as usize * width + x as usize] = value;
                    }
                });
            }
        }
        cells
    }

    #[test]
    fn a_polygon_is_filled_by_the_even_odd_rule() {
        let (height, width) = (20, 30);
        let mut rng = Rng::new(2);
        for corners in 3..40 {
            let mut corner = || [0, 1].map(|axis| rng.below([50, 40][axis]) as i32 - 10);
            let corners: Vec<[i32; 2]> = (0..corners).map(|_| corner()).collect();
            let mut plane = Plane::default();
            plane.clear(height, width, 9);
            plane.fill_polygon(&corners, 4, Simd::PLAIN);
            let mut expected = Plane::default();
            expected.clear(height, width, 9);
            expected.closed_line(&corners, 1, 4, Simd::PLAIN);
            for (cell, value) in expected.cells.iter_mut().enumerate() {
                let (x, y) = ((cell % width) as f64, (height - 1 - cell / width) as f64);
                let mut inside = false;
                for (i, a) in corners.iter().enumerate() {
                    let ([ax, ay], [bx, by]) =
                        (a.map(f64::from), corners[(i + 1) % corners.len()].map(f64::from));
                    let crosses = (ay <= y) != (by <= y);
                    inside ^= crosses && ax + (y - ay) / (by - ay) * (bx - ax) <= x;
                }
                if inside {
                    *value = 4;
                }
            }
            assert_eq!(plane.cells, expected.cells);
        }
    }

    #[test]
    fn a_thick_line_is_a_square_at_every_cell_of_the_thin_one() {
        let (height, width) = (20, 30);
        let mut rng = Rng::new(3);
        for thick in (2..10).chain([40]) {
            let (mut plane, mut expected) = (Plane::default(), vec![9; height * width]);
            plane.clear(height, width, 9);
            for value in 0..200 {
                // Half of them inside or near; the others may lie outside, but near enough for their squares
                // to reach inside.
                let (spread, from) = if value % 2 == 0 { ([120, 100], 45) } else { ([34, 24], 2) };
                let mut end = || [0, 1].map(|axis| rng.below(spread[axis]) as i32 - from);
                let (from, to) = (end(), end());
                plane.closed_line(&[from, to], thick, value, Simd::PLAIN);
                let reach = (thick / 2) as i64;
                for (from, to) in [(from, to), (to, from)] {
                    stroke::pillow(from.map(i64::from), to.map(i64::from), |[x, y]| {
                        for (dy, dx) in
                            (0..thick as i64).flat_map(|dy| (0..thick as i64).map(move |dx| (dy, dx)))
                        {
                            let (row, column) = (y - reach + dy, x - reach + dx);
                            if (0..height as i64).contains(&row) && (0..width as i64).contains(&column) {
                                expected[row as usize * width + column as usize] = value;
                            }
                        }
                    });
                }
            }
            let mut pixels = vec![0; height * width];
            let upright = Window { flip_rows: true, ..Window::whole(height, width) };
            plane.show(upright, None, false, &mut pixels);
            assert_eq!(pixels, expected, "{thick} cells wide");
        }
    }

    #[test]
    fn lines_are_shown_upright_and_flipped() {
        let (height, width) = (20, 30);
        let mut rng = Rng::new(1);
        let lines: Vec<_> = (0..2000)
            .map(|i| {
                let mut end = || [0, 1].map(|axis| rng.below([60, 50][axis]) as i32 - 15);
                (end(), end(), (i % 7) as u8)
            })
            .collect();
        let mut plane = Plane::default();
        plane.clear(height, width, 9);
        for &(from, to, value) in &lines {
            plane.closed_line(&[from, to], 1, value, Simd::PLAIN);
        }
        let mut pixels = vec![0; height * width];
        let upright = Window { flip_rows: true, ..Window::whole(height, width) };
        plane.show(upright, None, false, &mut pixels);
        assert_eq!(pixels, slow(height, width, &lines));
        plane.show(Window { flip_columns: true, ..upright }, None, false, &mut pixels);
        let flipped: Vec<u8> =
            slow(height, width, &lines).chunks(width).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(pixels, flipped);
    }
}
