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

#[cfg(test)]
mod tests {
    use super::*;

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
