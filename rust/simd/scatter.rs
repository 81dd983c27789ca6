//! Stores to many cells, with a single bounds check.

/// Writes `value(i)` to cell `cells[i]` of `to`, in order. All cells are checked up front, which is
/// vectorized, instead of one by one.
#[inline(always)]
pub(crate) fn scatter<T>(cells: &[u32], to: &mut [T], value: impl Fn(usize) -> T) {
    check(cells, to.len());
    let (eights, rest) = cells.as_chunks::<8>();
    for (i, cells) in eights.iter().enumerate() {
        for (j, &cell) in cells.iter().enumerate() {
            // SAFETY: `check` verified that every cell is within `to`.
            unsafe { *to.get_unchecked_mut(cell as usize) = value(8 * i + j) };
        }
    }
    for (j, &cell) in rest.iter().enumerate() {
        to[cell as usize] = value(8 * eights.len() + j);
    }
}

/// Sets the given cells of `to`, which are all 0 or 1, to 1. Returns how many were 0 before.
#[inline(always)]
pub(crate) fn mark(cells: &[u32], to: &mut [u8]) -> usize {
    check(cells, to.len());
    let mut marked = 0;
    for &cell in cells {
        // SAFETY: `check` verified that every cell is within `to`.
        let cell = unsafe { to.get_unchecked_mut(cell as usize) };
        marked += usize::from(*cell);
        *cell = 1;
    }
    cells.len() - marked
}

/// Adds 1 to each given cell of `to`, once per occurrence.
#[inline(always)]
pub(crate) fn count(cells: &[u32], to: &mut [u32]) {
    check(cells, to.len());
    for &cell in cells {
        // SAFETY: `check` verified that every cell is within `to`.
        unsafe { *to.get_unchecked_mut(cell as usize) += 1 };
    }
}

#[inline(always)]
fn check(cells: &[u32], len: usize) {
    let max = cells.iter().fold(0, |max, &cell| if cell > max { cell } else { max });
    assert!((max as usize) < len, "cell {max} of {len}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_in_order() {
        for points in [0, 1, 7, 8, 63, 64, 65] {
            let cells: Vec<u32> = (0..points).map(|point| point * 5 % 7).collect();
            let (mut last, mut expected) = ([0; 7], [0; 7]);
            scatter(&cells, &mut last, |point| point + 1);
            cells.iter().enumerate().for_each(|(point, &cell)| expected[cell as usize] = point + 1);
            assert_eq!(last, expected);
            let mut marks = [0, 0, 1, 0, 0, 0, 0];
            let new = mark(&cells, &mut marks);
            assert_eq!(marks.iter().sum::<u8>() as usize, 1 + new);
            let mut counts = [0; 7];
            count(&cells, &mut counts);
            let of = |cell: u32| cells.iter().filter(|&&other| other == cell).count() as u32;
            assert_eq!(counts, std::array::from_fn(|cell| of(cell as u32)));
        }
    }

    #[test]
    #[should_panic(expected = "cell 7 of 7")]
    fn scatter_panics_on_a_cell_out_of_bounds() {
        scatter(&[0, 1, 2, 3, 4, 5, 6, 7], &mut [0; 7], |point| point);
    }

    #[test]
    #[should_panic(expected = "cell 9 of 7")]
    fn count_panics_on_a_cell_out_of_bounds() {
        count(&[0, 9], &mut [0; 7]);
    }

    #[test]
    #[should_panic(expected = "cell 4294967295 of 7")]
    fn mark_panics_on_a_cell_out_of_bounds() {
        mark(&[u32::MAX], &mut [0; 7]);
    }
}
