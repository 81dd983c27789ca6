//! The randomness of leaves: the power law of their radii, and random numbers, ours or the released code's.

use crate::address::Rng;
use crate::mersenne::Mersenne;

/// Number of radii that a power law chooses from. Part of the format.
const RADII: usize = 200;

/// The distribution of radii: [`RADII`] values from the smallest to the largest, each with the
/// weight `radius^-exponent − max^-exponent`.
#[derive(Debug)]
pub(super) struct Law {
    radii: Vec<f64>,
    /// The cumulative share of each radius.
    cumulative: Vec<f64>,
    /// For each multiple of 1/64, the first radius whose cumulative share reaches it.
    start: [u8; 64],
}

impl Law {
    pub(super) fn new(exponent: f64, min: f64, max: f64) -> Self {
        let step = (max - min) / (RADII - 1) as f64;
        let radii: Vec<f64> = (0..RADII).map(|i| min + step * i as f64).collect();
        let weight = |radius| libm::pow(radius, -exponent);
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = radii
            .iter()
            .map(|&radius| {
                sum += (weight(radius) - weight(max)).max(0.0);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|share| *share /= sum);
        let first = |share: f64| cumulative.partition_point(|&below| below < share) as u8; // of 200
        let start = std::array::from_fn(|i| first(i as f64 / 64.0));
        Self { radii, cumulative, start }
    }

    /// Returns the radius whose cumulative share is nearest to `unit`; of two, the smaller one.
    #[inline]
    pub(super) fn radius(&self, unit: f64) -> f64 {
        let mut i = usize::from(self.start[(unit * 64.0) as usize]);
        while self.cumulative[i] < unit {
            i += 1; // the last share is 1
        }
        let nearer = i > 0 && unit - self.cumulative[i - 1] <= self.cumulative[i] - unit;
        self.radii[i - usize::from(nearer)]
    }
}

/// Where the random numbers of leaves come from.
pub(super) trait Draws {
    /// Draws a number in 0.0..1.0.
    fn unit(&mut self) -> f64;
    /// Draws the number of a kind, 0…5.
    fn kind(&mut self) -> usize;
}

impl Draws for Rng {
    fn unit(&mut self) -> f64 {
        self.between(0.0, 1.0)
    }

    fn kind(&mut self) -> usize {
        self.below(6) as usize
    }
}

/// The random numbers of one image of the released code. All come from NumPy except the kinds, which
/// Python's `random.choice` draws.
pub(super) struct Released {
    numpy: Mersenne,
    python: Mersenne,
}

impl Released {
    pub(super) fn new(image: u64) -> Self {
        // NumPy takes seeds of 32 bits; no run has drawn more images than that.
        Self { numpy: Mersenne::numpy(image as u32), python: Mersenne::python(image) }
    }
}

impl Draws for Released {
    fn unit(&mut self) -> f64 {
        self.numpy.unit()
    }

    fn kind(&mut self) -> usize {
        loop {
            let bits = self.python.word() >> 29;
            if bits < 6 {
                return bits as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radius_is_the_one_whose_share_is_nearest() {
        let law = Law::new(3.0, 0.03, 1.0);
        for i in 0..=1000 {
            let unit = (f64::from(i) / 1000.0).min(1.0 - f64::EPSILON);
            let distance = |i: &usize| (law.cumulative[*i] - unit).abs();
            let nearest = (0..RADII).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            assert_eq!(law.radius(unit), law.radii[nearest], "{unit}");
        }
    }
}
