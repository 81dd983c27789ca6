//! Hue, saturation and value as bytes, as OpenCV converts them.

/// Returns the color of a hue, a saturation and a value.
///
/// OpenCV counts a hue in 180 steps of two degrees, so the hues 180 to 255 are those of 0 to 75
/// again. It may round a channel to the neighboring byte.
#[inline(always)]
pub(crate) fn hsv(hue: u8, saturation: u8, value: u8) -> [u8; 3] {
    let value = f32::from(value);
    let chroma = value * f32::from(saturation) * (1.0 / 255.0);
    FADE[usize::from(hue)].map(|fade| (value - chroma * fade + 0.5) as u8) // rounds
}

/// How much of its chroma each channel loses at each hue.
static FADE: [[f32; 3]; 256] = fades();

const fn fades() -> [[f32; 3]; 256] {
    let mut fades = [[0.0; 3]; 256];
    let mut hue = 0;
    while hue < 256 {
        let step = hue % 180;
        let along = (step % 30) as f32 / 30.0;
        fades[hue] = match step / 30 {
            0 => [0.0, 1.0 - along, 1.0],
            1 => [along, 0.0, 1.0],
            2 => [1.0, 0.0, 1.0 - along],
            3 => [1.0, along, 0.0],
            4 => [1.0 - along, 1.0, 0.0],
            _ => [0.0, 1.0, along],
        };
        hue += 1;
    }
    fades
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colors_are_those_of_opencv() {
        // cv2.cvtColor(…, cv2.COLOR_HSV2RGB) of OpenCV 5.0, on bytes.
        assert_eq!(hsv(0, 255, 255), [255, 0, 0]);
        assert_eq!(hsv(60, 255, 200), [0, 200, 0]);
        assert_eq!(hsv(120, 255, 255), [0, 0, 255]);
        assert_eq!(hsv(37, 0, 90), [90, 90, 90]);
        assert_eq!(hsv(200, 97, 248), hsv(20, 97, 248));
    }
}
