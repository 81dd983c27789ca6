//! What a point leaves on the surface.

/// What a point leaves on the surface (paper, section 3.3, "Patch vs. Point").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// Its own pixel.
    Pixel,
    /// A 3×3 patch whose black cells erase what they cover.
    Patch(Masks<'a>),
}

impl Mark<'_> {
    /// A patch of nine lit pixels.
    pub const SOLID: Self = Self::Patch(Masks::SOLID);
}

/// Where the masks of the 3×3 patches come from; bit 8 is the top left pixel, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masks<'a> {
    /// Hashed from the number of the point with this key, uniform over 1..=511.
    Random(u32),
    /// The same for every point.
    Fixed(u32),
    /// One per point, in their order.
    Listed(&'a [u16]),
}

impl Masks<'_> {
    /// All nine pixels lit, for every point.
    pub const SOLID: Self = Self::Fixed(511);

    /// Returns the mask of a point.
    #[inline(always)]
    pub fn of(self, point: u32) -> u32 {
        match self {
            Masks::Random(key) => {
                // Two rounds of murmur3's finalizer, then 23 bits scaled to 511 values: no
                // mask is likelier than another by more than 1 in 16,000.
                let hash = (point ^ key).wrapping_mul(0x85EB_CA6B);
                let hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
                let hash = hash ^ hash >> 16;
                (((hash >> 9) * 511) >> 23) + 1
            }
            Masks::Fixed(mask) => mask,
            // An empty cell asks, too: its point has no number.
            Masks::Listed(masks) => masks.get(point as usize).map_or(0, |&mask| mask.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mask_is_about_as_likely_and_none_is_empty() {
        let mut counts = [0u32; 512];
        for point in 0..511_000 {
            counts[Masks::Random(12345).of(point) as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        // Poisson with mean 1000: six standard deviations.
        assert!(counts[1..].iter().all(|&count| (810..1190).contains(&count)));
    }
}
