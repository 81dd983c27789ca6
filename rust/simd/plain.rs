//! Portable code.

use super::Lanes;

/// Eight lanes as arrays, which the compiler can vectorize.
#[derive(Clone, Copy)]
pub(super) struct Plain(pub(super) ());

#[inline(always)]
pub(super) fn zip<A: Copy, B: Copy, R, const N: usize>(
    a: [A; N],
    b: [B; N],
    f: impl Fn(A, B) -> R,
) -> [R; N] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[rustfmt::skip] // one line per operation, the same table as in the other three backends
impl Lanes for Plain {
    const N: usize = 8;
    const FOUR_ENTRY_LOOKUP_IS_FASTER: bool = false;
    type F = [f32; 8];
    type U = [u32; 8];

    #[inline(always)] fn splat_f(self, value: f32) -> Self::F { [value; 8] }
    #[inline(always)] fn splat_u(self, value: u32) -> Self::U { [value; 8] }
    #[inline(always)] fn load_f(self, from: &[f32]) -> Self::F { *from.first_chunk().expect("N numbers") }
    #[inline(always)] fn load_u(self, from: &[u32]) -> Self::U { *from.first_chunk().expect("N numbers") }
    #[inline(always)] fn store_f(self, to: &mut [f32], value: Self::F) { to[..8].copy_from_slice(&value) }
    #[inline(always)] fn store_u(self, to: &mut [u32], value: Self::U) { to[..8].copy_from_slice(&value) }
    #[inline(always)] fn add_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| a + b) }
    #[inline(always)] fn sub_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| a - b) }
    #[inline(always)] fn mul_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| a * b) }
    #[inline(always)] fn min_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| if a < b { a } else { b }) }
    #[inline(always)] fn max_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| if a > b { a } else { b }) }
    #[inline(always)] fn truncate(self, a: Self::F) -> Self::U { a.map(|a| a as i32 as u32) }
    #[inline(always)] fn add_u(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, u32::wrapping_add) }
    #[inline(always)] fn mul_u(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, u32::wrapping_mul) }
    #[inline(always)] fn xor(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, |a, b| a ^ b) }
    #[inline(always)] fn and(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, |a, b| a & b) }
    #[inline(always)] fn shl<const K: u32>(self, a: Self::U) -> Self::U { a.map(|a| a << K) }
    #[inline(always)] fn shr<const K: u32>(self, a: Self::U) -> Self::U { a.map(|a| a >> K) }
    #[inline(always)] fn rotl<const K: u32>(self, a: Self::U) -> Self::U { a.map(|a| a.rotate_left(K)) }
    #[inline(always)] fn if_less(self, a: Self::U, b: Self::U, yes: Self::U, no: Self::U) -> Self::U {
        std::array::from_fn(|lane| if a[lane] < b[lane] { yes[lane] } else { no[lane] })
    }
    #[inline(always)] fn lookup_f(self, table: Self::F, index: Self::U) -> Self::F { index.map(|i| table[i as usize % 8]) }
    #[inline(always)] fn lookup_of_4(self, table: Self::F, index: Self::U) -> Self::F { index.map(|i| table[i as usize % 4]) }
    #[inline(always)] fn lookup_u(self, table: Self::U, index: Self::U) -> Self::U { index.map(|i| table[i as usize % 8]) }
}
