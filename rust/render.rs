//! Many addresses into one buffer, one task a picture.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::address::Address;
use crate::error::Error;
use crate::formula::{Formula, Scratch};
use crate::pool;
use crate::rendering::Rendering;
use crate::simd::Simd;

/// What does the work: how many threads, on which path. No byte depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// `None` is all the cores this process may use.
    pub threads: Option<usize>,
    /// The processor's path.
    pub simd: Simd,
}

impl Machine {
    /// Takes the number of threads, and the path of `FDSL_SIMD` or the fastest.
    pub fn new(threads: Option<usize>) -> Result<Self, Error> {
        Ok(Self { threads, simd: Simd::chosen()? })
    }

    /// Returns the number of threads.
    pub fn threads(&self) -> Result<usize, Error> {
        match self.threads {
            Some(0) => Err(Error::Threads),
            Some(threads) => Ok(threads),
            None => Ok(pool::cores()),
        }
    }

    /// Runs `work` where rayon's parallel iterators use this machine's threads.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
        Ok(pool::pool(self.threads()?)?.install(work))
    }
}

/// Draws the pictures at `places` (category, index) one after the other into `pixels` and
/// writes how often each was drawn again to `redraws`.
///
/// ```
/// use fdsl::{Ifs, Machine, Rendering, Simd, render};
/// let half = |e, f| [0.5, 0.0, 0.0, 0.5, e, f];
/// let sierpinski = Ifs::new(vec![half(0.0, 0.0), half(0.5, 0.0), half(0.25, 0.5)], vec![1.0 / 3.0; 3])?;
/// let rendering = Rendering { height: 64, width: 64, points: 10_000, ..Default::default() }.checked()?;
/// let (mut pixels, mut redraws) = (vec![0; 2 * rendering.bytes()], vec![0; 2]);
/// let machine = Machine { threads: Some(1), simd: Simd::PLAIN };
/// render(&[sierpinski], &[(0, 0), (0, 1)], 42, &rendering, &machine, &mut pixels, &mut redraws)?;
/// assert!(pixels.iter().any(|&pixel| pixel == 127));
/// # Ok::<(), fdsl::Error>(())
/// ```
pub fn render<F: Formula>(
    categories: &[F],
    places: &[(u64, u64)],
    seed: u64,
    rendering: &Rendering,
    machine: &Machine,
    pixels: &mut [u8],
    redraws: &mut [u8],
) -> Result<(), Error> {
    let bytes = rendering.bytes();
    if pixels.len() != places.len() * bytes {
        return Err(Error::Buffer { expected: places.len() * bytes, given: pixels.len() });
    }
    if redraws.len() != places.len() {
        return Err(Error::Buffer { expected: places.len(), given: redraws.len() });
    }
    for &(category, _) in places {
        if category >= categories.len() as u64 {
            return Err(Error::Category { category, categories: categories.len() });
        }
    }
    let draw = |((&(category, index), pixels), redraws): ((&(u64, u64), &mut [u8]), &mut u8)| {
        let address = Address { seed, category, index };
        let formula = &categories[category as usize]; // checked above
        *redraws = with_scratch(machine.simd, |scratch| formula.draw(address, rendering, scratch, pixels));
    };
    if machine.threads()? == 1 {
        // A data loader's worker: no pool is started for it.
        places.iter().zip(pixels.chunks_exact_mut(bytes)).zip(redraws).for_each(draw);
        return Ok(());
    }
    machine.install(|| {
        places.par_iter().zip(pixels.par_chunks_exact_mut(bytes)).zip(redraws).with_max_len(1).for_each(draw);
    })
}

/// Lends this thread's scratch. It stays from call to call: a small picture would spend
/// more time on fresh memory than on its dots.
pub(crate) fn with_scratch<R>(simd: Simd, work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let scratch = scratch.get_or_insert_with(|| Scratch::new(simd));
        scratch.simd = simd;
        work(scratch)
    })
}
