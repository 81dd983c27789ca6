//! NEON.

use std::arch::aarch64::*;

use super::Lanes;
use super::plain::zip;

/// Eight lanes in NEON, as two registers of four, because tables have eight entries. Tested under
/// QEMU only; its speed has not been measured.
#[derive(Clone, Copy)]
pub(super) struct Neon(pub(super) ());

/// Returns the positions of the four bytes of table entry `index % LEN` for each lane, because NEON
/// looks up bytes.
#[inline(always)]
fn bytes_of<const LEN: u32>(index: uint32x4_t) -> uint8x16_t {
    // SAFETY: as for `Neon`, below.
    unsafe {
        let starts = vmulq_n_u32(vandq_u32(index, vdupq_n_u32(LEN - 1)), 0x0404_0404);
        vreinterpretq_u8_u32(vaddq_u32(starts, vdupq_n_u32(u32::from_ne_bytes([0, 1, 2, 3]))))
    }
}

// SAFETY, for every block below: NEON is mandatory on AArch64. Loads and stores are unaligned and
// within slices whose bounds were checked.
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Neon {
    const N: usize = 8;
    const FOUR_ENTRY_LOOKUP_IS_FASTER: bool = true; // looks up in one register instead of two; not measured
    type F = [float32x4_t; 2];
    type U = [uint32x4_t; 2];

    #[inline(always)] fn splat_f(self, value: f32) -> Self::F { unsafe { [vdupq_n_f32(value); 2] } }
    #[inline(always)] fn splat_u(self, value: u32) -> Self::U { unsafe { [vdupq_n_u32(value); 2] } }
    #[inline(always)] fn load_f(self, from: &[f32]) -> Self::F { let (a, b) = from[..8].split_at(4); unsafe { [vld1q_f32(a.as_ptr()), vld1q_f32(b.as_ptr())] } }
    #[inline(always)] fn load_u(self, from: &[u32]) -> Self::U { let (a, b) = from[..8].split_at(4); unsafe { [vld1q_u32(a.as_ptr()), vld1q_u32(b.as_ptr())] } }
    #[inline(always)] fn store_f(self, to: &mut [f32], value: Self::F) {
        let (a, b) = to[..8].split_at_mut(4);
        unsafe { vst1q_f32(a.as_mut_ptr(), value[0]); vst1q_f32(b.as_mut_ptr(), value[1]) }
    }
    #[inline(always)] fn store_u(self, to: &mut [u32], value: Self::U) {
        let (a, b) = to[..8].split_at_mut(4);
        unsafe { vst1q_u32(a.as_mut_ptr(), value[0]); vst1q_u32(b.as_mut_ptr(), value[1]) }
    }
    #[inline(always)] fn add_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| unsafe { vaddq_f32(a, b) }) }
    #[inline(always)] fn sub_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| unsafe { vsubq_f32(a, b) }) }
    #[inline(always)] fn mul_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| unsafe { vmulq_f32(a, b) }) }
    // Not `vminq_f32` and `vmaxq_f32`, which return NaN if either argument is NaN.
    #[inline(always)] fn min_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }) }
    #[inline(always)] fn max_f(self, a: Self::F, b: Self::F) -> Self::F { zip(a, b, |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }) }
    #[inline(always)] fn truncate(self, a: Self::F) -> Self::U { a.map(|a| unsafe { vcvtq_u32_f32(a) }) }
    #[inline(always)] fn add_u(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, |a, b| unsafe { vaddq_u32(a, b) }) }
    #[inline(always)] fn mul_u(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, |a, b| unsafe { vmulq_u32(a, b) }) }
    #[inline(always)] fn xor(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, |a, b| unsafe { veorq_u32(a, b) }) }
    #[inline(always)] fn and(self, a: Self::U, b: Self::U) -> Self::U { zip(a, b, |a, b| unsafe { vandq_u32(a, b) }) }
    #[inline(always)] fn shl<const K: u32>(self, a: Self::U) -> Self::U { a.map(|a| unsafe { vshlq_u32(a, vdupq_n_s32(K as i32)) }) }
    #[inline(always)] fn shr<const K: u32>(self, a: Self::U) -> Self::U { a.map(|a| unsafe { vshlq_u32(a, vdupq_n_s32(-(K as i32))) }) }
    #[inline(always)] fn rotl<const K: u32>(self, a: Self::U) -> Self::U {
        a.map(|a| unsafe { vorrq_u32(vshlq_u32(a, vdupq_n_s32(K as i32)), vshlq_u32(a, vdupq_n_s32(K as i32 - 32))) })
    }
    #[inline(always)] fn if_less(self, a: Self::U, b: Self::U, yes: Self::U, no: Self::U) -> Self::U {
        std::array::from_fn(|i| unsafe { vbslq_u32(vcltq_u32(a[i], b[i]), yes[i], no[i]) })
    }
    #[inline(always)] fn lookup_f(self, table: Self::F, index: Self::U) -> Self::F {
        self.lookup_u(table.map(|four| unsafe { vreinterpretq_u32_f32(four) }), index).map(|four| unsafe { vreinterpretq_f32_u32(four) })
    }
    #[inline(always)] fn lookup_of_4(self, table: Self::F, index: Self::U) -> Self::F {
        index.map(|i| unsafe { vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(table[0]), bytes_of::<4>(i))) })
    }
    #[inline(always)] fn lookup_u(self, table: Self::U, index: Self::U) -> Self::U {
        let table = unsafe { uint8x16x2_t(vreinterpretq_u8_u32(table[0]), vreinterpretq_u8_u32(table[1])) };
        index.map(|i| unsafe { vreinterpretq_u32_u8(vqtbl2q_u8(table, bytes_of::<8>(i))) })
    }
}
