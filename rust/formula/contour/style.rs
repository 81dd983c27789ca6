//! The background and the lines.

use serde::Deserialize;

use crate::address::{At, Purpose};
use crate::error::Error;
use crate::formula::contour::rings::{BACKGROUND, Polygon, Start, UNIT};
use crate::formula::interface::{Ground, Style};
use crate::frame::Frame;
use crate::surface::palette_color;

/// Colors of the lines.
const COLOR: Purpose = Purpose(17);
/// The largest line width, which fills most of a small image.
const THICKEST: usize = 64;

/// Settings for rendering rings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContourStyle {
    /// The background; `None` means white for RCDB and black for VisualAtom.
    pub background: Option<Background>,
    /// Width of the lines in pixels.
    pub line_width: usize,
    /// The color of each ring.
    pub line_color: LineColor,
    /// Whether the rings are in the center of the image.
    pub centered: bool,
}

/// The background of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// 0
    Black,
    /// 255
    White,
}

/// The color of each ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineColor {
    /// A random gray, as in the released code.
    Gray,
    /// A random color.
    Random,
    /// The next color in the FractalDB authors' cycle of 128.
    Cycle,
}

impl Default for ContourStyle {
    fn default() -> Self {
        Self { background: None, line_width: 1, line_color: LineColor::Gray, centered: false }
    }
}

impl Style for ContourStyle {
    fn check(&self, frame: &Frame) -> Result<(), Error> {
        let fits = (1..=THICKEST).contains(&self.line_width);
        Error::unless(fits, "line_width", "between 1 and 64", self.line_width as f64)?; // only shown
        if self.numbered() && !frame.color {
            let given = if self.line_color == LineColor::Random { "random" } else { "cycle" };
            let accepted = "'gray' unless color=True";
            return Err(Error::Choice { name: "line_color", accepted, given: given.to_owned() });
        }
        Ok(())
    }
}

impl ContourStyle {
    /// Returns the start, moved to the center if the style asks for it.
    pub(super) fn start(&self, start: Start) -> Start {
        if self.centered { Start { center: [UNIT / 2.0; 2], ..start } } else { start }
    }

    /// Returns whether the plane holds ring numbers instead of grays.
    pub(super) fn numbered(&self) -> bool {
        self.line_color != LineColor::Gray
    }

    /// Returns the gray of the background.
    pub(super) fn background(&self, polygon: &Polygon) -> u8 {
        self.ground(polygon).byte().unwrap_or(0)
    }

    /// Returns the background for a scene.
    pub(super) fn ground(&self, polygon: &Polygon) -> Ground {
        let own = if polygon.waves.is_some() { Background::Black } else { Background::White };
        match self.background.unwrap_or(own) {
            Background::Black => Ground::Black,
            Background::White => Ground::White,
        }
    }

    /// Returns the colors of the rings by number, if they have colors.
    pub(super) fn colors(&self, polygon: &Polygon, at: At<'_>) -> Option<[[u8; 3]; 256]> {
        if !self.numbered() {
            return None;
        }
        let mut rng = at.rng(COLOR);
        let mut colors: [[u8; 3]; 256] = std::array::from_fn(|ring| match self.line_color {
            LineColor::Cycle => palette_color(ring),
            _ => [0; 3].map(|_: u8| rng.below(256) as u8),
        });
        colors[usize::from(BACKGROUND)] = [self.background(polygon); 3];
        Some(colors)
    }
}
