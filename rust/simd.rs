//! The processor's fast paths, chosen at run time and equal to the bit.
//!
//! A [`Kernel`] is written once, over [`Lanes`]: a handful of numbers that are added,
//! multiplied and looked up together. The paths differ in instructions and in how many stand
//! side by side, never in what is computed: no fused multiply-add, no reassociation.
//! This is the only file with `unsafe` in it.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::sync::OnceLock;

use crate::error::Error;

/// A path that this processor can take. Owning one is the proof that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Path);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Simd {
    /// Eight lanes in portable code; every processor has it.
    pub const PLAIN: Self = Self(Path::Plain);

    /// Returns every path of this processor, slowest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)] // other processors have nothing to push
        let mut paths = vec![Self::PLAIN];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                paths.push(Self(Path::Avx2));
            }
            // Every processor with AVX-512F that is in use has the other three as well.
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                paths.push(Self(Path::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        paths.push(Self(Path::Neon)); // part of every such processor
        paths
    }

    /// Returns the path named by the environment variable `FDSL_SIMD`, else the fastest.
    pub fn chosen() -> Result<Self, Error> {
        static CHOSEN: OnceLock<Result<Simd, Error>> = OnceLock::new();
        CHOSEN
            .get_or_init(|| match std::env::var("FDSL_SIMD") {
                Ok(name) if !name.is_empty() => Self::named(&name),
                _ => Ok(*Self::available().last().expect("PLAIN is always there")),
            })
            .clone()
    }

    /// Returns the path called `plain`, `avx2`, `avx512` or `neon`.
    pub fn named(name: &str) -> Result<Self, Error> {
        if let Some(&path) = Self::available().iter().find(|path| path.name() == name) {
            return Ok(path);
        }
        Err(match name {
            "avx2" => Error::Simd("AVX2"),
            "avx512" => Error::Simd("AVX-512 (F, BW, DQ and VL)"),
            "neon" => Error::Simd("NEON"),
            _ => Error::Choice {
                name: "FDSL_SIMD",
                accepted: "'plain', 'avx2', 'avx512' or 'neon'",
                given: name.to_owned(),
            },
        })
    }

    /// Returns the name that [`Simd::named`] takes.
    pub fn name(self) -> &'static str {
        match self.0 {
            Path::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Path::Neon => "neon",
        }
    }

    /// Runs `kernel` compiled for this path.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Path::Plain => kernel.run(Plain(())),
            // SAFETY: a `Simd` of this path exists only where the features were detected.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { run_avx512(kernel) },
            // No function of its own: all code for these processors is compiled with NEON.
            #[cfg(target_arch = "aarch64")]
            Path::Neon => kernel.run(Neon(())),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Work that is compiled once for every path. Mark `run` `#[inline(always)]`, or it
/// is compiled for none of them.
pub(crate) trait Kernel {
    type Output;
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// `N` numbers side by side. Values of this type exist only inside [`Simd::run`],
/// on a processor that has the instructions.
pub(crate) trait Lanes: Copy {
    const N: usize;
    /// Whether six look-ups among four numbers and one among eight cost less than six among eight.
    const FOUR_PAYS: bool;
    type F: Copy;
    type U: Copy;

    fn splat_f(self, value: f32) -> Self::F;
    fn splat_u(self, value: u32) -> Self::U;
    /// Reads the first `N` of `from`.
    fn load_f(self, from: &[f32]) -> Self::F;
    /// Reads the first `N` of `from`.
    fn load_u(self, from: &[u32]) -> Self::U;
    /// Writes the first `N` of `to`.
    fn store_f(self, to: &mut [f32], value: Self::F);
    /// Writes the first `N` of `to`.
    fn store_u(self, to: &mut [u32], value: Self::U);

    fn add_f(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub_f(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul_f(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b`
    fn min_f(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`
    fn max_f(self, a: Self::F, b: Self::F) -> Self::F;
    /// Cuts off the fraction of numbers in 0.0..2³¹; of others the result differs between paths.
    fn truncate(self, a: Self::F) -> Self::U;

    fn add_u(self, a: Self::U, b: Self::U) -> Self::U;
    fn mul_u(self, a: Self::U, b: Self::U) -> Self::U;
    fn xor(self, a: Self::U, b: Self::U) -> Self::U;
    fn and(self, a: Self::U, b: Self::U) -> Self::U;
    fn shl<const K: u32>(self, a: Self::U) -> Self::U;
    fn shr<const K: u32>(self, a: Self::U) -> Self::U;
    fn rotl<const K: u32>(self, a: Self::U) -> Self::U;
    /// `a < b ? yes : no`, for numbers below 2³¹.
    fn if_less(self, a: Self::U, b: Self::U, yes: Self::U, no: Self::U) -> Self::U;
    /// Takes entry `index % N` of `table`, lane by lane.
    fn lookup_f(self, table: Self::F, index: Self::U) -> Self::F;
    /// Takes entry `index % 4` of `table`, lane by lane; a table that repeats every four.
    fn lookup_of_4(self, table: Self::F, index: Self::U) -> Self::F;
    /// Takes entry `index % N` of `table`, lane by lane.
    fn lookup_u(self, table: Self::U, index: Self::U) -> Self::U;
}

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

/// Eight lanes that any compiler can make something of.
#[derive(Clone, Copy)]
pub(crate) struct Plain(());

#[inline(always)]
fn zip<A: Copy, B: Copy, R, const N: usize>(a: [A; N], b: [B; N], f: impl Fn(A, B) -> R) -> [R; N] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[rustfmt::skip] // one line an operation, four times the same table
impl Lanes for Plain {
    const N: usize = 8;
    const FOUR_PAYS: bool = false;
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

/// Eight lanes in AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

// SAFETY, for every block below: an `Avx2` exists only inside `run_avx2`, which runs only
// where AVX2 was detected; the loads and stores are unaligned, inside checked slices.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx2 {
    const N: usize = 8;
    const FOUR_PAYS: bool = true; // 100 µs instead of 118 for 200,000 dots
    type F = __m256;
    type U = __m256i;

    #[inline(always)] fn splat_f(self, value: f32) -> Self::F { unsafe { _mm256_set1_ps(value) } }
    #[inline(always)] fn splat_u(self, value: u32) -> Self::U { unsafe { _mm256_set1_epi32(value as i32) } }
    #[inline(always)] fn load_f(self, from: &[f32]) -> Self::F { let from = &from[..8]; unsafe { _mm256_loadu_ps(from.as_ptr()) } }
    #[inline(always)] fn load_u(self, from: &[u32]) -> Self::U { let from = &from[..8]; unsafe { _mm256_loadu_si256(from.as_ptr().cast()) } }
    #[inline(always)] fn store_f(self, to: &mut [f32], value: Self::F) { let to = &mut to[..8]; unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) } }
    #[inline(always)] fn store_u(self, to: &mut [u32], value: Self::U) { let to = &mut to[..8]; unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) } }
    #[inline(always)] fn add_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm256_add_ps(a, b) } }
    #[inline(always)] fn sub_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm256_sub_ps(a, b) } }
    #[inline(always)] fn mul_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm256_mul_ps(a, b) } }
    #[inline(always)] fn min_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm256_min_ps(a, b) } }
    #[inline(always)] fn max_f(self, a: Self::F, b: Self::F) -> Self::F { unsafe { _mm256_max_ps(a, b) } }
    #[inline(always)] fn truncate(self, a: Self::F) -> Self::U { unsafe { _mm256_cvttps_epi32(a) } }
    #[inline(always)] fn add_u(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm256_add_epi32(a, b) } }
    #[inline(always)] fn mul_u(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm256_mullo_epi32(a, b) } }
    #[inline(always)] fn xor(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm256_xor_si256(a, b) } }
    #[inline(always)] fn and(self, a: Self::U, b: Self::U) -> Self::U { unsafe { _mm256_and_si256(a, b) } }
    #[inline(always)] fn shl<const K: u32>(self, a: Self::U) -> Self::U { unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(K as i32)) } }
    #[inline(always)] fn shr<const K: u32>(self, a: Self::U) -> Self::U { unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(K as i32)) } }
    #[inline(always)] fn rotl<const K: u32>(self, a: Self::U) -> Self::U {
        unsafe { _mm256_or_si256(self.shl::<K>(a), _mm256_srl_epi32(a, _mm_cvtsi32_si128(32 - K as i32))) }
    }
    #[inline(always)] fn if_less(self, a: Self::U, b: Self::U, yes: Self::U, no: Self::U) -> Self::U {
        unsafe { _mm256_blendv_epi8(no, yes, _mm256_cmpgt_epi32(b, a)) }
    }
    #[inline(always)] fn lookup_f(self, table: Self::F, index: Self::U) -> Self::F { unsafe { _mm256_permutevar8x32_ps(table, index) } }
    #[inline(always)] fn lookup_of_4(self, table: Self::F, index: Self::U) -> Self::F { unsafe { _mm256_permutevar_ps(table, index) } }
    #[inline(always)] fn lookup_u(self, table: Self::U, index: Self::U) -> Self::U { unsafe { _mm256_permutevar8x32_epi32(table, index) } }
}

/// Sixteen lanes in AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

// SAFETY, for every block below: an `Avx512` exists only inside `run_avx512`, which runs only
// where AVX-512 was detected; the loads and stores are unaligned, inside checked slices.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx512 {
    const N: usize = 16;
    const FOUR_PAYS: bool = false; // an instruction each
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

/// Eight lanes in NEON: two registers of four, for tables have eight entries. Written without such a
/// processor: its results were compared under qemu, its speed was never measured.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

/// Returns where the bytes of entry `index % LEN` of a table stand, lane by lane: NEON looks up bytes.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn bytes_of<const LEN: u32>(index: uint32x4_t) -> uint8x16_t {
    // SAFETY: as for `Neon`, below.
    unsafe {
        let starts = vmulq_n_u32(vandq_u32(index, vdupq_n_u32(LEN - 1)), 0x0404_0404);
        vreinterpretq_u8_u32(vaddq_u32(starts, vdupq_n_u32(u32::from_ne_bytes([0, 1, 2, 3]))))
    }
}

// SAFETY, for every block below: every processor that runs code for aarch64 has NEON; the loads
// and stores are unaligned, inside checked slices.
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Neon {
    const N: usize = 8;
    const FOUR_PAYS: bool = true; // one register to look in instead of two: not measured
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
    // Not `vminq_f32` and `vmaxq_f32`, which give NaN where one of the two is.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    const ALL: usize = 16; // as many as the widest path has lanes

    /// Every operation on the same sixteen numbers, however many at a time.
    struct Operations {
        a: [f32; ALL],
        b: [f32; ALL],
        i: [u32; ALL],
        j: [u32; ALL],
    }

    impl Kernel for Operations {
        type Output = Vec<[u32; ALL]>;

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let Self { a, b, i, j } = self;
            // Sixteen lanes look up modulo sixteen: the tables repeat.
            let table_u: [u32; ALL] = std::array::from_fn(|slot| j[slot % 8]);
            let table_f: [f32; ALL] = std::array::from_fn(|slot| b[slot % 8]);
            let four_f: [f32; ALL] = std::array::from_fn(|slot| b[slot % 4]);
            let (table_u, table_f, four_f) = (l.load_u(&table_u), l.load_f(&table_f), l.load_f(&four_f));
            let mut results = vec![[0; ALL]; 17];
            for at in (0..ALL).step_by(L::N) {
                let (a, b) = (l.load_f(&a[at..]), l.load_f(&b[at..]));
                let (i, j) = (l.load_u(&i[at..]), l.load_u(&j[at..]));
                let low = |v| l.shr::<1>(v);
                let positive = l.max_f(a, l.splat_f(0.0));
                let floats = [
                    l.add_f(a, b),
                    l.sub_f(a, b),
                    l.mul_f(a, b),
                    l.min_f(a, b),
                    l.max_f(a, b),
                    l.lookup_f(table_f, i),
                    l.lookup_of_4(four_f, i),
                ];
                let wholes = [
                    l.truncate(positive),
                    l.add_u(i, j),
                    l.mul_u(i, j),
                    l.xor(i, j),
                    l.and(i, l.splat_u(0xFF0F_F0F0)),
                    l.shl::<9>(i),
                    l.shr::<29>(i),
                    l.rotl::<26>(i),
                    l.if_less(low(i), low(j), i, j),
                    l.lookup_u(table_u, i),
                ];
                let (first, rest) = results.split_at_mut(floats.len());
                for (result, value) in first.iter_mut().zip(floats) {
                    let mut numbers = [0.0; ALL];
                    l.store_f(&mut numbers, value);
                    // One NaN is as good as another: Rust does not say which it is.
                    let bits = numbers.map(|n| if n.is_nan() { f32::NAN.to_bits() } else { n.to_bits() });
                    result[at..at + L::N].copy_from_slice(&bits[..L::N]);
                }
                for (result, value) in rest.iter_mut().zip(wholes) {
                    l.store_u(&mut result[at..], value);
                }
            }
            results
        }
    }

    #[test]
    fn every_operation_is_the_same_on_every_path() {
        let mut rng = Rng::new(5);
        for _ in 0..20 {
            let mut floats = || std::array::from_fn(|_| rng.between(-1e4, 1e4) as f32);
            let (mut a, b): ([f32; ALL], [f32; ALL]) = (floats(), floats());
            a[3] = b[3]; // equal, and the second is taken
            a[5] = f32::NAN; // neither less nor more
            let mut words = || std::array::from_fn(|_| rng.next_u64() as u32);
            let (i, j) = (words(), words());
            let on = |simd: Simd| simd.run(Operations { a, b, i, j });
            let plain = on(Simd::PLAIN);
            for simd in Simd::available() {
                for (operation, (result, expected)) in on(simd).iter().zip(&plain).enumerate() {
                    assert_eq!(result, expected, "operation {operation} on {}", simd.name());
                }
            }
        }
    }

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
