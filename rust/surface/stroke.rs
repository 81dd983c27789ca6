//! Lines from cell to cell, without a gap.

/// Walks along straight pieces between `ends`, each (column, row).
pub fn polyline(ends: impl Iterator<Item = [usize; 2]>, mut point: impl FnMut([usize; 2])) {
    let mut last = None;
    for end in ends {
        line(last.unwrap_or(end), end, &mut point);
        last = Some(end);
    }
}

/// Walks from one cell to another, each step to one of the eight neighbours; the first cell is
/// left out unless it is the last as well.
pub fn line(from: [usize; 2], to: [usize; 2], mut point: impl FnMut([usize; 2])) {
    let way = |axis: usize| to[axis] as i64 - from[axis] as i64;
    let steps = way(0).abs().max(way(1).abs()).max(1);
    // In parts of 2⁻³² of a cell: over 4096 steps the error stays far below a cell.
    let step = [0, 1].map(|axis| (way(axis) << 32) / steps);
    let mut at = from.map(|cell| ((cell as i64) << 32) + (1 << 31));
    for _ in 0..steps {
        at = [at[0] + step[0], at[1] + step[1]];
        point(at.map(|part| (part >> 32) as usize)); // between the two cells
    }
}

/// Walks from one cell to another as Pillow's `ImageDraw.line` does, ends included. Cells may lie
/// anywhere.
pub fn pillow(from: [i64; 2], to: [i64; 2], mut point: impl FnMut([i64; 2])) {
    let difference = [0, 1].map(|axis| (to[axis] - from[axis]).abs());
    let way = [0, 1].map(|axis| if to[axis] < from[axis] { -1 } else { 1 });
    // Steps go along the longer axis; of two of one length along the second.
    let long = usize::from(difference[0] <= difference[1]);
    let short = 1 - long;
    let mut error = 2 * difference[short] - difference[long];
    let mut at = from;
    for _ in 0..difference[long] {
        point(at);
        if error >= 0 {
            at[short] += way[short];
            error -= 2 * difference[long];
        }
        error += 2 * difference[short];
        at[long] += way[long];
    }
    point(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of Pillow 13.
    #[test]
    fn a_line_of_pillow_is_its_line() {
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
    fn a_line_goes_from_neighbor_to_neighbor_and_ends_where_it_should() {
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
