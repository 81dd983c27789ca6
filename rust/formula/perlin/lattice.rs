//! The lattice of the noise: the gradients at its points, and the coordinates of samples in its cells.

use crate::address::Rng;

/// The fewest samples per lattice cell along an axis. Where pixels are too coarse, a pixel is the mean
/// of several samples (area anti-aliasing). Part of the format.
const SAMPLES_PER_CELL: f64 = 4.0;
/// The most samples per pixel along an axis. An octave that needs more would average to gray and is
/// left out. Part of the format.
const SAMPLES_PER_PIXEL: f64 = 16.0;
/// The number of lattice cells after which the noise repeats.
pub(super) const PERIOD: f64 = 256.0;

/// The permutation that selects the gradient at each lattice point.
pub(super) struct Table(pub(super) [u8; 256]);

impl Table {
    /// Creates a random permutation (Fisher–Yates shuffle).
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut table: [u8; 256] = std::array::from_fn(|i| i as u8);
        for i in (1..256).rev() {
            table.swap(i, rng.below(i as u64 + 1) as usize); // at most i
        }
        Self(table)
    }

    /// Returns the gradient at a lattice point: one of the twelve edge directions of a cube.
    fn gradient(&self, x: u8, y: u8, z: u8) -> [f32; 3] {
        const EDGES: [[f32; 3]; 16] = [
            [1.0, 1.0, 0.0],
            [-1.0, 1.0, 0.0],
            [1.0, -1.0, 0.0],
            [-1.0, -1.0, 0.0],
            [1.0, 0.0, 1.0],
            [-1.0, 0.0, 1.0],
            [1.0, 0.0, -1.0],
            [-1.0, 0.0, -1.0],
            [0.0, 1.0, 1.0],
            [0.0, -1.0, 1.0],
            [0.0, 1.0, -1.0],
            [0.0, -1.0, -1.0],
            [1.0, 1.0, 0.0],
            [0.0, -1.0, 1.0],
            [-1.0, 1.0, 0.0],
            [0.0, -1.0, -1.0],
        ]; // as in Perlin's code, four of them twice
        let Self(table) = self;
        let hash = table[usize::from(x)].wrapping_add(y);
        let hash = table[usize::from(hash)].wrapping_add(z);
        EDGES[usize::from(table[usize::from(hash)] & 15)]
    }

    /// Combines the gradients at the lattice points on both sides of the plane of constant z into x
    /// and y of a gradient on the plane and a constant.
    pub(super) fn on_plane(&self, x: u32, y: u32, z: Coordinate) -> [f32; 3] {
        // The lattice repeats every 256 cells, so the low eight bits suffice.
        let [near, far] = [0, 1].map(|side| self.gradient(x as u8, y as u8, (z.cell + side) as u8));
        let depth = blend(z.eased, near[2] * z.along, far[2] * (z.along - 1.0));
        [blend(z.eased, near[0], far[0]), blend(z.eased, near[1], far[1]), depth]
    }
}

/// The lattice coordinates of the samples along one axis of the image.
pub(super) struct Axis {
    pub(super) phase: f64,
    /// Lattice cells from one sample to the next.
    pub(super) step: f64,
    /// Samples per pixel.
    pub(super) samples: usize,
}

impl Axis {
    /// Spreads `frequency` cells over `size` pixels; `None` if that is too fine to be visible.
    pub(super) fn new(frequency: f64, size: usize, rng: &mut Rng) -> Option<Self> {
        let phase = rng.between(0.0, PERIOD); // always drawn, so the size does not change the stream
        let samples = (SAMPLES_PER_CELL * frequency / size as f64).ceil();
        (samples <= SAMPLES_PER_PIXEL).then_some(Self {
            phase,
            step: frequency / (size as f64 * samples),
            samples: samples as usize,
        })
    }

    /// Returns the coordinate of sample `number` of the uncropped image.
    pub(super) fn coordinate(&self, number: usize) -> Coordinate {
        Coordinate::of(self.phase + (number as f64 + 0.5) * self.step)
    }
}

/// A lattice coordinate.
#[derive(Clone, Copy, Default)]
pub(super) struct Coordinate {
    /// The lattice cell.
    pub(super) cell: u32,
    /// The position in the cell, in 0.0..1.0.
    pub(super) along: f32,
    /// Perlin's ease curve of that position.
    pub(super) eased: f32,
}

impl Coordinate {
    pub(super) fn of(coordinate: f64) -> Self {
        let cell = coordinate.floor();
        let t = (coordinate - cell) as f32;
        // Perlin's quintic, 6t⁵ − 15t⁴ + 10t³.
        let eased = t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        Self { cell: cell as u32, along: t, eased } // not negative
    }
}

pub(super) fn blend(share: f32, a: f32, b: f32) -> f32 {
    a + share * (b - a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lattice_finer_than_the_pixels_is_sampled_more_often() {
        let axis = |frequency, size| Axis::new(frequency, size, &mut Rng::new(0)).map(|axis| axis.samples);
        assert_eq!(axis(10.0, 256), Some(1));
        assert_eq!(axis(36.0, 64), Some(3));
        assert_eq!(axis(1024.0, 256), Some(16));
        assert_eq!(axis(1025.0, 256), None);
    }
}
