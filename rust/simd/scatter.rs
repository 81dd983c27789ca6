//! Stores to many cells at once.

/// Writes `value(i)` to cell `cells[i]` of `to`, in order: cells are checked all at once, which
/// vectors do, and not one by one.
#[inline(always)]
pub(crate) fn scatter<T>(cells: &[u32], to: &mut [T], value: impl Fn(usize) -> T) {
    check(cells, to.len());
    let (eights, rest) = cells.as_chunks::<8>();
    for (i, cells) in eights.iter().enumerate() {
        for (j, &cell) in cells.iter().enumerate() {
            // SAFETY: no cell lies beyond `to`, as was checked.
            unsafe { *to.get_unchecked_mut(cell as usize) = value(8 * i + j) };
        }
    }
    for (j, &cell) in rest.iter().enumerate() {
        to[cell as usize] = value(8 * eights.len() + j);
    }
}

/// Sets the cells `cells` of `to` to 1 and returns how many were 0; all are 0 or 1.
#[inline(always)]
pub(crate) fn mark(cells: &[u32], to: &mut [u8]) -> usize {
    check(cells, to.len());
    let mut marked = 0;
    for &cell in cells {
        // SAFETY: no cell lies beyond `to`, as was checked.
        let cell = unsafe { to.get_unchecked_mut(cell as usize) };
        marked += usize::from(*cell);
        *cell = 1;
    }
    cells.len() - marked
}

#[inline(always)]
fn check(cells: &[u32], len: usize) {
    let most = cells.iter().fold(0, |most, &cell| if cell > most { cell } else { most });
    assert!((most as usize) < len, "cell {most} of {len}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_in_order() {
        for dots in [0, 1, 7, 8, 63, 64, 65] {
            let cells: Vec<u32> = (0..dots).map(|dot| dot * 5 % 7).collect();
            let (mut last, mut expected) = ([0; 7], [0; 7]);
            scatter(&cells, &mut last, |dot| dot + 1);
            cells.iter().enumerate().for_each(|(dot, &cell)| expected[cell as usize] = dot + 1);
            assert_eq!(last, expected);
            let mut marks = [0, 0, 1, 0, 0, 0, 0];
            let new = mark(&cells, &mut marks);
            assert_eq!(marks.iter().sum::<u8>() as usize, 1 + new);
        }
    }

    #[test]
    #[should_panic(expected = "cell 7 of 7")]
    fn a_cell_outside_is_refused() {
        scatter(&[0, 1, 2, 3, 4, 5, 6, 7], &mut [0; 7], |dot| dot);
    }

    #[test]
    #[should_panic(expected = "cell 4294967295 of 7")]
    fn a_mark_outside_is_refused() {
        mark(&[u32::MAX], &mut [0; 7]);
    }
}
