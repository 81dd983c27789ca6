//! SIMD backends, selected at run time and bit-identical to each other.
//!
//! A `Kernel` is written once, generic over `Lanes`, the operations on a vector of numbers. Each
//! backend implements `Lanes`. The backends differ in instructions and vector width but not in
//! results: there is no fused multiply-add and no reassociation. This is the only folder that contains
//! `unsafe` code.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
mod scatter;

pub(crate) use scatter::{count, mark, scatter};

use std::sync::OnceLock;

use crate::error::Error;

/// A SIMD backend that this processor supports. Having a value of this type proves that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Backend);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Simd {
    /// Portable code with eight lanes, supported everywhere.
    pub const PLAIN: Self = Self(Backend::Plain);

    /// Returns all backends that this processor supports, slowest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)] // some architectures have only the portable backend
        let mut backends = vec![Self::PLAIN];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                backends.push(Self(Backend::Avx2));
            }
            // All current processors with AVX-512F have the other three as well.
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                backends.push(Self(Backend::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        backends.push(Self(Backend::Neon)); // mandatory on AArch64
        backends
    }

    /// Returns the backend named by the environment variable `FDSL_SIMD`, or the fastest backend.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend is unknown or not supported by this processor.
    pub fn chosen() -> Result<Self, Error> {
        static CHOSEN: OnceLock<Result<Simd, Error>> = OnceLock::new();
        CHOSEN
            .get_or_init(|| match std::env::var_os("FDSL_SIMD") {
                Some(name) if !name.is_empty() => Self::of("FDSL_SIMD", &name.to_string_lossy()),
                _ => Ok(*Self::available().last().expect("PLAIN is always available")),
            })
            .clone()
    }

    /// Returns the backend named `plain`, `avx2`, `avx512` or `neon`.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend is unknown or not supported by this processor.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::of("simd", name)
    }

    fn of(setting: &'static str, name: &str) -> Result<Self, Error> {
        if let Some(&backend) = Self::available().iter().find(|backend| backend.name() == name) {
            return Ok(backend);
        }
        Err(match name {
            "avx2" => Error::Simd("AVX2"),
            "avx512" => Error::Simd("AVX-512 (F, BW, DQ and VL)"),
            "neon" => Error::Simd("NEON"),
            _ => Error::Choice {
                name: setting,
                accepted: "'plain', 'avx2', 'avx512' or 'neon'",
                given: name.to_owned(),
            },
        })
    }

    /// Returns the name of the backend, which [`Simd::named`] accepts.
    pub fn name(self) -> &'static str {
        match self.0 {
            Backend::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Backend::Neon => "neon",
        }
    }

    /// Runs `kernel` compiled for this backend.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Backend::Plain => kernel.run(plain::Plain(())),
            // SAFETY: a `Simd` with this backend exists only if the features were detected.
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => unsafe { avx2::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512 => unsafe { avx512::run(kernel) },
            // Needs no `target_feature` function: AArch64 code is always compiled with NEON.
            #[cfg(target_arch = "aarch64")]
            Backend::Neon => kernel.run(neon::Neon(())),
        }
    }
}

/// A computation that is compiled once for every backend. `run` must be `#[inline(always)]`; otherwise
/// it is compiled without the backend's target features.
pub(crate) trait Kernel {
    type Output;
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// The operations on vectors of `N` numbers. Values of this type exist only inside [`Simd::run`], on
/// a processor that has the instructions.
pub(crate) trait Lanes: Copy {
    const N: usize;
    /// Whether six lookups in tables of four and one in a table of eight are faster than six in tables
    /// of eight.
    const FOUR_ENTRY_LOOKUP_IS_FASTER: bool;
    type F: Copy;
    type U: Copy;

    fn splat_f(self, value: f32) -> Self::F;
    fn splat_u(self, value: u32) -> Self::U;
    /// Loads the first `N` numbers of `from`.
    fn load_f(self, from: &[f32]) -> Self::F;
    /// Loads the first `N` numbers of `from`.
    fn load_u(self, from: &[u32]) -> Self::U;
    /// Stores to the first `N` numbers of `to`.
    fn store_f(self, to: &mut [f32], value: Self::F);
    /// Stores to the first `N` numbers of `to`.
    fn store_u(self, to: &mut [u32], value: Self::U);

    fn add_f(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub_f(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul_f(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b`
    fn min_f(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a > b ? a : b`
    fn max_f(self, a: Self::F, b: Self::F) -> Self::F;
    /// Truncates numbers in 0.0..2³¹ to integers; for others the result differs between backends.
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
    /// Looks up entry `index % N` of `table` for each lane.
    fn lookup_f(self, table: Self::F, index: Self::U) -> Self::F;
    /// Looks up entry `index % 4` of `table` for each lane; `table` must repeat every four entries.
    fn lookup_of_4(self, table: Self::F, index: Self::U) -> Self::F;
    /// Looks up entry `index % N` of `table` for each lane.
    fn lookup_u(self, table: Self::U, index: Self::U) -> Self::U;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Rng;

    const ALL: usize = 16; // the lanes of the widest backend

    /// Every operation, applied to sixteen numbers.
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
            // On 16-lane backends, lookup indices wrap at 16, so tables are repeated to fill 16 entries.
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
                    // Rust does not specify which NaN an operation returns.
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
    fn every_operation_is_the_same_on_every_backend() {
        let mut rng = Rng::new(5);
        for _ in 0..20 {
            let mut floats = || std::array::from_fn(|_| rng.between(-1e4, 1e4) as f32);
            let (mut a, b): ([f32; ALL], [f32; ALL]) = (floats(), floats());
            a[3] = b[3]; // of equal numbers, min and max return the second
            a[5] = f32::NAN; // compares false
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
}
