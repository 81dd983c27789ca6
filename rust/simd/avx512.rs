//! AVX-512.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Sixteen lanes in AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

// SAFETY, for every block below: an `Avx512` exists only inside `run`, which is called only if AVX-512
// was detected. Loads and stores are unaligned and within slices whose bounds were checked.
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx512 {
    const N: usize = 16;
    const FOUR_ENTRY_LOOKUP_IS_FASTER: bool = false; // both lookups are one instruction
    type F = __m512;
    type U = __m512i;

    #[inline(always)] fn splat_f(self, value: f32) -> Self::F { unsafe { _mm512_set1_ps(value) } }
    #[inline(always)] fn splat_u(self, value: u32) -> Self::U { unsafe { _mm512_set1_epi32(value as i32) } }
    #[inline(always)] fn load_f(self, from: &[f32]) -> Self::F { let from = &from[..16]; unsafe { _mm512_loadu_ps(from.as_ptr()) } }
    #[inline(always)] fn load_u(self, from: &[u32]) -> Self::U { let from = &from[..16]; unsafe { _mm512_loadu_si512(from.as_ptr().cast()) } }
    #[inline(always)] fn store_f(self, to: &mut [f32], value: Self::F) { let to = &mut to[..16]; unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) } }
    #[inline(always)] fn store_u(self, to: &mut [u32], value: Self::U) { let to = &mut to[..16]; unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) } }
    #[inline(always)] fn add_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm512_add_ps(a, b) } }
    #[inline(always)] fn sub_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm512_sub_ps(a, b) } }
    #[inline(always)] fn mul_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm512_mul_ps(a, b) } }
    #[inline(always)] fn min_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm512_min_ps(a, b) } }
    #[inline(always)] fn max_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm512_max_ps(a, b) } }
    #[inline(always)] fn truncate(self, a: Self::F) -> Self::U { unsafe { _mm512_cvttps_epi32(a) } }
    #[inline(always)] fn add_u(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm512_add_epi32(a, b) } }
    #[inline(always)] fn mul_u(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm512_mullo_epi32(a, b) } }
    #[inline(always)] fn xor(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm512_xor_si512(a, b) } }
    #[inline(always)] fn and(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm512_and_si512(a, b) } }
    #[inline(always)] fn shl<const K: u32>(self, a: Self::U) -> Self::U { unsafe { _mm512_slli_epi32::<K>(a) } }
    #[inline(always)] fn shr<const K: u32>(self, a: Self::U) -> Self::U { unsafe { _mm512_srli_epi32::<K>(a) } }
    #[inline(always)] fn rotl<const K: u32>(self, a: Self::U) -> Self::U { unsafe { _mm512_rolv_epi32(a, _mm512_set1_epi32(K as i32)) } }
    #[inline(always)] fn if_less(self, a: Self::U, b: Self::U, yes: Self::U, no: Self::U) -> Self::U {
        unsafe { _mm512_mask_blend_epi32(_mm512_cmplt_epi32_mask(a, b), no, yes) }
    }
    #[inline(always)] fn lookup_f(self, table: Self::F, index: Self::U) -> Self::F { unsafe { _mm512_permutexvar_ps(index, table) } }
    #[inline(always)] fn lookup_of_4(self, table: Self::F, index: Self::U) -> Self::F { unsafe { _mm512_permutevar_ps(table, index) } }
    #[inline(always)] fn lookup_u(self, table: Self::U, index: Self::U) -> Self::U { unsafe { _mm512_permutexvar_epi32(index, table) } }
}
