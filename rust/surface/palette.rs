//! The colors of the points.

/// The number of colors in the authors' cycle.
pub(super) const COLORS: usize = 128;

/// The authors' cycle of colors: hue 2π·i/128, saturation and value 0.75, truncated to bytes, with
/// red and blue swapped (their BGR is read as RGB). Entry 0 is black; entries after the colors are
/// unused.
pub(super) static PALETTE: [[u8; 3]; 256] = palette();

/// Returns a color of the cycle.
pub(crate) fn palette_color(number: usize) -> [u8; 3] {
    PALETTE[1 + number % COLORS]
}

const fn palette() -> [[u8; 3]; 256] {
    const HIGH: f64 = 0.75;
    const LOW: f64 = HIGH * (1.0 - 0.75);
    let mut palette = [[0; 3]; 256];
    let mut i = 0;
    while i < COLORS {
        let hue = i as f64 * 6.0 / COLORS as f64;
        let sextant = hue as u8;
        let along = hue - sextant as f64;
        let up = LOW + (HIGH - LOW) * along;
        let down = HIGH - (HIGH - LOW) * along;
        let [r, g, b] = match sextant {
            0 => [HIGH, up, LOW],
            1 => [down, HIGH, LOW],
            2 => [LOW, HIGH, up],
            3 => [LOW, down, HIGH],
            4 => [up, LOW, HIGH],
            _ => [HIGH, LOW, down],
        };
        palette[i + 1] = [(b * 255.0) as u8, (g * 255.0) as u8, (r * 255.0) as u8]; // truncates
        i += 1;
    }
    palette
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colors_are_the_authors_colors() {
        // Taken from an image rendered by the authors' code.
        assert_eq!(PALETTE[1], [47, 47, 191]);
        assert_eq!(PALETTE[2], [47, 54, 191]);
        assert_eq!(PALETTE[22], [47, 189, 191]);
        assert_eq!(PALETTE.iter().flatten().max(), Some(&191));
    }
}
