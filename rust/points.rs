//! The points of an orbit and their bounding box.

/// The points of an orbit, in order. f32 is precise enough to find a pixel, unless an attractor is far
/// smaller than its distance from the origin.
#[derive(Default)]
pub struct Points {
    pub(crate) x: Vec<f32>,
    pub(crate) y: Vec<f32>,
}

impl Points {
    /// Drops the points outside a box.
    pub(crate) fn keep(&mut self, window: Bounds) {
        let Bounds { min, max } = window;
        let mut kept = 0;
        for i in 0..self.x.len() {
            let (x, y) = (self.x[i], self.y[i]);
            (self.x[kept], self.y[kept]) = (x, y); // overwritten by the next unless inside
            let inside = (min[0] <= x) & (x <= max[0]) & (min[1] <= y) & (y <= max[1]);
            kept += usize::from(inside);
        }
        self.x.truncate(kept);
        self.y.truncate(kept);
    }
}

/// The bounding box of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Smallest x and y.
    pub min: [f32; 2],
    /// Largest x and y.
    pub max: [f32; 2],
}

impl Bounds {
    pub(crate) const EMPTY: Self = Self { min: [f32::INFINITY; 2], max: [f32::NEG_INFINITY; 2] };

    /// Returns the bounding box of points, all of which must be finite.
    pub(crate) fn of(points: &Points) -> Self {
        let mut bounds = Self::EMPTY;
        points.x.iter().zip(&points.y).for_each(|(&x, &y)| bounds.add([x, y]));
        bounds
    }

    pub(crate) fn add(&mut self, [x, y]: [f32; 2]) {
        // Compares as the SIMD backends do. Either of two zeros may win: v − ±0 is the same cell.
        let min = |a: f32, b: f32| if a < b { a } else { b };
        let max = |a: f32, b: f32| if a > b { a } else { b };
        self.min = [min(x, self.min[0]), min(y, self.min[1])];
        self.max = [max(x, self.max[0]), max(y, self.max[1])];
    }

    /// Returns whether a coordinate is NaN or larger than `limit` in magnitude.
    pub(crate) fn exceed(&self, limit: f32) -> bool {
        !self.min.iter().chain(&self.max).all(|v| v.abs() <= limit) // false for NaN
    }
}
