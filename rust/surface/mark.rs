//! How a point is drawn.

/// How a point is drawn (paper, section 3.3, "Patch vs. Point").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// As one pixel.
    Pixel,
    /// As a 3×3 patch, whose black pixels overwrite what is below them.
    Patch(Masks<'a>),
}

impl Mark<'_> {
    /// A patch of nine lit pixels.
    pub const SOLID: Self = Self::Patch(Masks::SOLID);
}

/// The masks of the 3×3 patches: nine bits in row-major order, bit 8 for the top left pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks<'a> {
    /// A hash of the number of the point and this key, uniform over 1..=511.
    Random(u32),
    /// The same mask for every point.
    Fixed(u32),
    /// One mask per point, in order.
    Listed(&'a [u16]),
}

impl Masks<'_> {
    /// All nine pixels lit.
    pub const SOLID: Self = Self::Fixed(511);

    /// Returns the mask of a point.
    #[inline(always)]
    pub fn of(self, point: u32) -> u32 {
        match self {
            Masks::Random(key) => {
                // Two rounds of murmur3's finalizer, then 23 bits scaled to 511 values: the
                // probabilities of any two masks differ by less than 1 in 16,000.
                let hash = (point ^ key).wrapping_mul(0x85EB_CA6B);
                let hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
                let hash = hash ^ hash >> 16;
                (((hash >> 9) * 511) >> 23) + 1
            }
            Masks::Fixed(mask) => mask,
            // Also called for empty cells, whose point number is out of range.
            Masks::Listed(masks) => masks.get(point as usize).map_or(0, |&mask| mask.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_about_uniform_and_never_empty() {
        let mut counts = [0u32; 512];
        for point in 0..511_000 {
            counts[Masks::Random(12345).of(point) as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        // Six standard deviations of a Poisson distribution with mean 1000.
        assert!(counts[1..].iter().all(|&count| (810..1190).contains(&count)));
    }
}
