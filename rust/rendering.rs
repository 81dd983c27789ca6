//! How pictures are drawn: settings, validated once and trusted afterwards.

use crate::error::Error;

/// What a dot leaves on the canvas (paper, section 3.3, "Patch vs. Point").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// One pixel.
    Point,
    /// A 3×3 patch whose black cells erase what they cover.
    Patch(Patch),
}

/// Where a patch's mask comes from (paper, Table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// A new non-empty mask for every dot.
    Random,
    /// One non-empty mask for the whole picture.
    Fixed,
}

/// How the instances of a category differ from it (paper, "Weight of intra-category fractals").
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights {
    /// No map parameter is scaled.
    Identity,
    /// One letter of every map is scaled by 1−2w, 1−w, 1+w or 1+2w: the authors' 25 rows.
    Grid(f64),
    /// One letter of every map is scaled by a factor drawn from [1−2w, 1+2w].
    Continuous(f64),
}

/// Whose random numbers and rules: of candidates and of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// This crate's: many orbits at once, drawn from the address.
    Fdsl,
    /// The authors' released program, replayed to the byte (`formula/ifs/released`).
    Released,
}

/// A part of the picture to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Rows kept.
    pub height: usize,
    /// Columns kept.
    pub width: usize,
    /// Anywhere, drawn a picture; else the centre.
    pub random: bool,
}

/// How pictures are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendering {
    /// Rows of the whole picture.
    pub height: usize,
    /// Columns of the whole picture.
    pub width: usize,
    /// Dots a picture.
    pub points: usize,
    /// Point or patch.
    pub draw: Draw,
    /// Red, green and blue bytes a pixel instead of one gray byte.
    pub color: bool,
    /// The variation inside a category.
    pub weights: Weights,
    /// Pixels left free on each side of the dots.
    pub pad: usize,
    /// What is kept of the picture; `None` keeps it whole.
    pub crop: Option<Crop>,
    /// Whether `index % 4` mirrors the picture.
    pub flips: bool,
    /// Whether a picture that failed (diverged, or nearly black) is drawn again.
    pub redraw: bool,
    /// Whose dots are drawn; of iterated function systems alone.
    pub sampler: Sampler,
    /// What the released program's Python gives `random.seed` before every picture; `None`
    /// takes it from the address. (The program leaves it to chance.)
    pub mask_seed: Option<u64>,
}

impl Default for Rendering {
    fn default() -> Self {
        Self {
            height: 256,
            width: 256,
            points: 200_000,
            draw: Draw::Patch(Patch::Random),
            color: false,
            weights: Weights::Grid(0.4),
            pad: 6,
            crop: None,
            flips: true,
            redraw: true,
            sampler: Sampler::Fdsl,
            mask_seed: None,
        }
    }
}

impl Rendering {
    /// Checks the settings against each other and hands them on.
    pub fn checked(mut self) -> Result<Self, Error> {
        let (height, width) = (self.height, self.width);
        if ![height, width].iter().all(|side| (16..=4096).contains(side)) {
            return Err(Error::Size { height, width });
        }
        let smaller = height.min(width);
        if self.pad > (smaller - 2) / 2 {
            return Err(Error::Pad { pad: self.pad, smaller });
        }
        if let Some(Crop { height: crop_height, width: crop_width, .. }) = self.crop
            && !((1..=height).contains(&crop_height) && (1..=width).contains(&crop_width))
        {
            return Err(Error::Crop { height, width, crop_height, crop_width });
        }
        // 24 bits of dot number leave room for a patch cell's place beside it (canvas/mod.rs).
        if !(1..=1 << 24).contains(&self.points) {
            return Err(Error::Points(self.points));
        }
        if let Weights::Grid(w) | Weights::Continuous(w) = self.weights
            && !(0.0..=1.0).contains(&w)
        {
            return Err(Error::Weights(w));
        }
        if matches!(self.weights, Weights::Grid(0.0) | Weights::Continuous(0.0)) {
            self.weights = Weights::Identity; // or every redraw would try the same maps again
        }
        if let (Sampler::Fdsl, Some(seed)) = (self.sampler, self.mask_seed) {
            return Err(Error::MaskSeed(seed));
        }
        Ok(self)
    }

    /// Returns the (height, width) of what is kept.
    pub fn output_size(&self) -> (usize, usize) {
        self.crop.map_or((self.height, self.width), |crop| (crop.height, crop.width))
    }

    /// Returns 3 in colour, else 1.
    pub fn channels(&self) -> usize {
        if self.color { 3 } else { 1 }
    }

    /// Returns the number of bytes of one picture.
    pub fn bytes(&self) -> usize {
        let (height, width) = self.output_size();
        height * width * self.channels()
    }
}
