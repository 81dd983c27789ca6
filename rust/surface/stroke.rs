//! Lines from cell to cell, without gaps.

/// Calls `point` for the cells on a polyline through `vertices`, each (column, row).
pub(crate) fn polyline(vertices: impl Iterator<Item = [usize; 2]>, mut point: impl FnMut([usize; 2])) {
    let mut last = None;
    for vertex in vertices {
        line(last.unwrap_or(vertex), vertex, &mut point);
        last = Some(vertex);
    }
}

/// Calls `point` for the cells on a line, each a neighbor of the one before. The first cell is
/// omitted, unless it is also the last.
pub(crate) fn line(from: [usize; 2], to: [usize; 2], mut point: impl FnMut([usize; 2])) {
    let delta = |axis: usize| to[axis] as i64 - from[axis] as i64;
    let steps = delta(0).abs().max(delta(1).abs()).max(1);
    // In fixed point with 32 fractional bits: over 4096 steps the error is far below one cell.
    let step = [0, 1].map(|axis| (delta(axis) << 32) / steps);
    let mut at = from.map(|cell| ((cell as i64) << 32) + (1 << 31));
    for _ in 0..steps {
        at = [at[0] + step[0], at[1] + step[1]];
        point(at.map(|fixed| (fixed >> 32) as usize)); // not negative: between the two cells
    }
}

/// Calls `point` for the cells that Pillow's `ImageDraw.line` draws, including both ends. Cells may
/// lie outside the image.
pub(crate) fn pillow(from: [i64; 2], to: [i64; 2], mut point: impl FnMut([i64; 2])) {
    let delta = [0, 1].map(|axis| (to[axis] - from[axis]).abs());
    let sign = [0, 1].map(|axis| if to[axis] < from[axis] { -1 } else { 1 });
    // Steps along the longer axis, or along the second if both are equally long.
    let long = usize::from(delta[0] <= delta[1]);
    let short = 1 - long;
    let mut error = 2 * delta[short] - delta[long];
    let mut at = from;
    for _ in 0..delta[long] {
        point(at);
        if error >= 0 {
            at[short] += sign[short];
            error -= 2 * delta[long];
        }
        error += 2 * delta[short];
        at[long] += sign[long];
    }
    point(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected cells are from Pillow 13.
    #[test]
    fn a_line_matches_pillows() {
        let walk = |from, to| {
            let mut cells = vec![];
            pillow(from, to, |cell| cells.push(cell));
            cells
        };
        assert_eq!(walk([0, 0], [5, 2]), [[0, 0], [1, 0], [2, 1], [3, 1], [4, 2], [5, 2]]);
        assert_eq!(walk([5, 2], [0, 0]), [[5, 2], [4, 2], [3, 1], [2, 1], [1, 0], [0, 0]]);
        assert_eq!(walk([2, 2], [0, 0]), [[2, 2], [1, 1], [0, 0]]);
        assert_eq!(walk([3, 3], [3, 3]), [[3, 3]]);
    }

    #[test]
    fn a_line_has_no_gaps_and_ends_at_its_last_cell() {
        for from in [[0, 0], [40, 7], [4095, 4095], [3, 3]] {
            for to in [[0, 0], [4095, 0], [17, 4000], [3, 4], [3, 3]] {
                let mut last = from;
                line(from, to, |cell| {
                    assert!(cell[0].abs_diff(last[0]) <= 1 && cell[1].abs_diff(last[1]) <= 1);
                    last = cell;
                });
                assert_eq!(last, to, "{from:?}");
            }
        }
    }
}
