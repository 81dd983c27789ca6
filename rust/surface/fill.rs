//! Filled circles and polygons, as the run of columns that they cover in each row.
//!
//! The pixels are those of OpenCV's `circle` and `fillPoly` without antialiasing (midpoint circle;
//! even-odd scan conversion in 16-bit fixed point with the outline drawn on top), because programs
//! that are replayed fill with them. Compared with OpenCV 5.0 on two million random shapes: the
//! same pixels.

/// Corners and centers are (x, y), sizes (width, height), both in whole pixels.
type Pair = [i64; 2];

/// Bits of the fraction in fixed point.
const SHIFT: u32 = 16;

/// A row without pixels.
const NONE: Pair = [i64::MAX >> 1, i64::MIN >> 1];

/// The pixels of one shape: one run of columns for each row of the image that it reaches.
///
/// Polygons must be monotone in y. Convex ones are, even after truncating their corners to pixels.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    top: i64,
    /// First and last column, also outside the image; first > last where there is none.
    runs: Vec<[i64; 2]>,
    size: Pair,
}

impl Runs {
    /// Takes the shape of a filled circle.
    pub(crate) fn circle(&mut self, [cx, cy]: Pair, radius: i64, size: Pair) {
        self.clear(cy - radius, cy + radius, size);
        // An eighth of the circle, from its rightmost pixel upward.
        let (mut across, mut up) = (radius, 0);
        let (mut error, mut plus, mut minus) = (0, 1, 2 * radius - 1);
        while across >= up {
            for (dy, dx) in [(up, across), (across, up)] {
                for y in [cy - dy, cy + dy] {
                    self.widen(y, cx - dx, cx + dx);
                }
            }
            up += 1;
            error += plus;
            plus += 2;
            if error > 0 {
                error -= minus;
                across -= 1;
                minus -= 2;
            }
        }
    }

    /// Takes the shape of a rectangle with its sides along the axes; both corners belong to it.
    pub(crate) fn rectangle(&mut self, [left, top]: Pair, [right, bottom]: Pair, size: Pair) {
        self.clear(top, bottom, size);
        self.runs.fill([left, right]);
    }

    /// Takes the shape of a filled polygon and its outline.
    pub(crate) fn polygon(&mut self, corners: &[Pair], size: Pair) {
        let rows = corners.iter().map(|corner| corner[1]);
        self.clear(rows.clone().min().unwrap_or(0), rows.max().unwrap_or(-1), size);
        let sides = corners.iter().cycle().skip(corners.len().max(1) - 1).zip(corners);
        sides.clone().for_each(|(&from, &to)| self.side(from, to));
        for run in &mut self.runs {
            // From the first pixel center inside to the last, both ends included.
            *run = [(run[0] + ((1 << SHIFT) - 1)) >> SHIFT, run[1] >> SHIFT];
            if run[0] > run[1] {
                *run = NONE;
            }
        }
        sides.for_each(|(&from, &to)| self.outline(from, to));
    }

    /// Returns row, first and last column of each run, cut to the image.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let last = self.size[0] - 1;
        (self.top..).zip(&self.runs).filter_map(move |(row, &[from, to])| {
            let (from, to) = (from.max(0), to.min(last));
            (from <= to).then_some((row as usize, from as usize, to as usize)) // inside the image
        })
    }

    fn clear(&mut self, top: i64, bottom: i64, size: Pair) {
        (self.top, self.size) = (top.max(0), size);
        let rows = (bottom.min(size[1] - 1) - self.top + 1).max(0);
        self.runs.clear();
        self.runs.resize(rows as usize, NONE); // not negative
    }

    #[inline]
    fn widen(&mut self, row: i64, from: i64, to: i64) {
        // Rows above the image turn into huge numbers.
        if let Some(run) = self.runs.get_mut((row - self.top) as usize) {
            *run = [run[0].min(from), run[1].max(to)];
        }
    }

    /// Adds where one side crosses each row, in fixed point; the row where it ends is left out.
    fn side(&mut self, from: Pair, to: Pair) {
        if from[1] == to[1] {
            return;
        }
        let (mut a, mut b) = (from, to);
        if !(inside(a, self.size) && inside(b, self.size)) {
            clip(&mut a, &mut b, self.size);
        }
        if a[1] == b[1] {
            // OpenCV keeps the rows from before and the columns from after.
            (a[1], b[1]) = (from[1], to[1]);
        }
        let slope = ((b[0] - a[0]) << SHIFT) / (b[1] - a[1]);
        let first = from[1].min(to[1]).max(self.top);
        let last = from[1].max(to[1]).min(self.size[1]);
        let mut x = (a[0] << SHIFT) + (first - a[1]) * slope;
        if from[1] > to[1] {
            x = (b[0] << SHIFT) + (first - b[1]) * slope;
        }
        for row in first..last {
            self.widen(row, x, x);
            x += slope;
        }
    }

    /// Adds the line of one side, as far as it is inside the image.
    fn outline(&mut self, mut from: Pair, mut to: Pair) {
        let whole = inside(from, self.size) && inside(to, self.size);
        if whole || clip(&mut from, &mut to, self.size) {
            self.line(from, to);
        }
    }

    /// Adds a line inside the image (Bresenham's, from left to right).
    fn line(&mut self, from: Pair, to: Pair) {
        let (from, to) = if to[0] < from[0] { (to, from) } else { (from, to) };
        let (dx, dy) = (to[0] - from[0], (to[1] - from[1]).abs());
        let down = (to[1] - from[1]).signum();
        let [mut x, mut y] = from;
        if dx >= dy {
            let mut error = dx - 2 * dy;
            let mut first = x;
            for _ in 0..dx {
                if error < 0 {
                    self.widen(y, first, x);
                    (first, y) = (x + 1, y + down);
                    error += 2 * dx;
                }
                error -= 2 * dy;
                x += 1;
            }
            self.widen(y, first, x);
        } else {
            let mut error = dy - 2 * dx;
            for _ in 0..=dy {
                self.widen(y, x, x);
                if error < 0 {
                    x += 1;
                    error += 2 * dy;
                }
                error -= 2 * dx;
                y += down;
            }
        }
    }
}

/// Returns whether a pixel is inside the image.
#[inline]
fn inside([x, y]: Pair, [width, height]: Pair) -> bool {
    (0..width).contains(&x) && (0..height).contains(&y)
}

/// Clips a line to the image, first by rows and then by columns, each time along the line between
/// its current ends. Returns whether any of it is left; if not, the ends may still have moved.
fn clip(a: &mut Pair, b: &mut Pair, size: Pair) -> bool {
    let side = |p: &Pair, axis: usize| {
        if p[axis] < 0 { -1 } else { i32::from(p[axis] >= size[axis]) }
    };
    for axis in [1, 0] {
        let beyond = [side(a, 0) * side(b, 0), side(a, 1) * side(b, 1)];
        if beyond.contains(&1) {
            return false;
        }
        let other = 1 - axis;
        for first in [true, false] {
            let way = [b[0] - a[0], b[1] - a[1]];
            let end = if first { &mut *a } else { &mut *b };
            if side(end, axis) != 0 {
                let border = if end[axis] < 0 { 0 } else { size[axis] - 1 };
                let moved = (border - end[axis]) as f64 * way[other] as f64 / way[axis] as f64;
                end[other] += moved as i64; // towards zero
                end[axis] = border;
            }
        }
    }
    side(a, 0) == 0 && side(b, 0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest is that of the same shapes drawn by OpenCV 5.0.
    #[test]
    fn the_pixels_are_those_of_opencv() {
        let size @ [width, height] = [40, 32];
        let (mut state, mut digest, mut runs) = (1u64, 0xCBF2_9CE4_8422_2325u64, Runs::default());
        let mut below = |n: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as i64 * n) >> 31
        };
        for number in 0..5000 {
            let center @ [cx, cy] = [below(width), below(height)];
            let radius = 1 + below(if number % 2 == 1 { 60 } else { 8 });
            match below(5) {
                0 => runs.circle(center, radius, size),
                1 => {
                    let [dx, dy] = [below(radius + 1), below(radius + 1)];
                    runs.rectangle([cx - dx, cy - dy], [cx + dx, cy + dy], size);
                }
                kind => {
                    let mut turns: Vec<i64> =
                        (0..if kind == 2 { 3 } else { 4 }).map(|_| below(1 << 16)).collect();
                    turns.sort_unstable();
                    let corner = |&turn: &i64| {
                        let u = (turn % (1 << 14)) as f64 / f64::from(1 << 14);
                        let (x, y) = ((1.0 - u * u) / (1.0 + u * u), 2.0 * u / (1.0 + u * u));
                        let (x, y) = [(x, y), (-y, x), (-x, -y), (y, -x)][(turn >> 14) as usize];
                        [(radius as f64 * x + cx as f64) as i64, (radius as f64 * y + cy as f64) as i64]
                    };
                    runs.polygon(&turns.iter().map(corner).collect::<Vec<_>>(), size);
                }
            }
            let mut image = vec![0; (width * height) as usize];
            for (row, from, to) in runs.iter() {
                image[row * width as usize..][from..=to].fill(1);
            }
            for byte in image {
                digest = (digest ^ byte).wrapping_mul(0x100_0000_01B3);
            }
        }
        assert_eq!(digest, 0xBC4A_8F5D_C54C_D5CA);
    }
}
