//! From dots to the cells they fall on.

use crate::dots::Dots;
use crate::simd::{Kernel, Lanes};

/// Maps a coordinate to a column or row: `(v − min) · scale + offset`, cut to an integer.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    min: f32,
    scale: f32,
    offset: f32,
}

impl Stretch {
    pub(super) fn new(min: f32, max: f32, size: usize, pad: usize) -> Self {
        // The authors stretch over size − 2·pad; without padding that would be one too far.
        let span = (size - 2 * pad).min(size - 1 - pad) as f32;
        let range = max - min;
        // Dots in one line have no width to stretch: they stand in the middle.
        if range < f32::MIN_POSITIVE * 1e6 {
            return Self { min, scale: 0.0, offset: (size / 2) as f32 };
        }
        Self { min, scale: span / range, offset: pad as f32 }
    }

    #[inline(always)]
    fn on<L: Lanes>(self, l: L) -> [L::F; 3] {
        [l.splat_f(self.min), l.splat_f(self.scale), l.splat_f(self.offset)]
    }
}

/// Dots whose cells are found, and fetched, before they fall.
const CHUNK: usize = 64;

pub(super) struct Plot<'a> {
    pub(super) dots: &'a Dots,
    pub(super) columns: Stretch,
    pub(super) rows: Stretch,
    pub(super) stride: usize,
    pub(super) last: &'a mut [u32],
}

impl Kernel for Plot<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { dots, columns, rows, stride, last } = self;
        let (columns, rows) = (columns.on(l), rows.on(l));
        let stride_u = l.splat_u(stride as u32);
        // One row and one column of border.
        let border = l.splat_u(stride as u32 + 1);

        let mut number = 0;
        let mut cells = [0u32; CHUNK];
        let mut waiting = ([0u32; CHUNK], 0);
        let (mut rest_x, mut rest_y) = ([0.0; CHUNK], [0.0; CHUNK]);
        for (x, y) in dots.x.chunks(CHUNK).zip(dots.y.chunks(CHUNK)) {
            let (mut all_x, mut all_y) = (x, y);
            if x.len() < CHUNK {
                rest_x[..x.len()].copy_from_slice(x);
                rest_y[..y.len()].copy_from_slice(y);
                (all_x, all_y) = (&rest_x, &rest_y);
            }
            for at in (0..CHUNK).step_by(L::N) {
                let row = stretched(l, l.load_f(&all_y[at..]), rows);
                let column = stretched(l, l.load_f(&all_x[at..]), columns);
                l.store_u(&mut cells[at..], l.add_u(l.add_u(l.mul_u(row, stride_u), column), border));
            }
            for &cell in &cells {
                l.prefetch(last, cell);
            }
            fall(last, &mut waiting, &mut number);
            waiting = (cells, x.len());
        }
        fall(last, &mut waiting, &mut number);
    }
}

/// Lets the waiting dots fall, in order.
#[inline(always)]
fn fall(last: &mut [u32], (cells, dots): &mut ([u32; CHUNK], usize), number: &mut u32) {
    for &cell in &cells[..*dots] {
        *number += 1;
        last[cell as usize] = *number;
    }
}

/// Stretches and cuts to an integer, as [`Stretch`] says. (Functions, not closures: see
/// `affine` in orbit.rs.)
#[inline(always)]
fn stretched<L: Lanes>(l: L, v: L::F, [min, scale, offset]: [L::F; 3]) -> L::U {
    l.truncate(l.add_f(l.mul_f(l.sub_f(v, min), scale), offset))
}
