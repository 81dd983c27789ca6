//! Many addresses into one buffer, one task a picture.

use rayon::prelude::*;

use crate::address::Address;
use crate::error::Error;
use crate::formula::Formula;
use crate::machine::{Clock, Look, Machine, Watch, with_scratch};
use crate::rendering::Rendering;

/// Of an image: more is not kept for the next one, or every thread would keep what the largest
/// image ever rendered took.
const KEPT_BYTES: usize = 64 << 20;

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
    render_watched(categories, places, seed, rendering, machine, &mut || false, pixels, redraws)
}

/// Does so and asks `look` ten times a second whether to stop. A run that was stopped is
/// [`Error::Interrupted`], and what it leaves in `pixels` means nothing.
#[allow(clippy::too_many_arguments)]
pub fn render_watched<F: Formula>(
    categories: &[F],
    places: &[(u64, u64)],
    seed: u64,
    rendering: &Rendering,
    machine: &Machine,
    look: Look<'_>,
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
    let draw = |place: &(u64, u64), pixels: &mut [u8], redraws: &mut u8, watch: &dyn Watch| {
        let &(category, index) = place;
        let address = Address { seed, category, index };
        let formula = &categories[category as usize]; // checked above
        *redraws =
            with_scratch(machine.simd, |scratch| formula.draw(address, rendering, scratch, watch, pixels));
    };
    let done = if machine.threads()? == 1 {
        // A data loader's worker: no pool is started for it.
        let clock = Clock::new(look);
        for ((place, pixels), redraws) in places.iter().zip(pixels.chunks_exact_mut(bytes)).zip(redraws) {
            if clock.stopped() {
                break;
            }
            draw(place, pixels, redraws, &clock);
        }
        if clock.stopped() { Err(Error::Interrupted) } else { Ok(()) }
    } else {
        machine.install_watched(look, |flag| {
            let tasks = places.par_iter().zip(pixels.par_chunks_exact_mut(bytes)).zip(redraws);
            tasks.with_max_len(1).for_each(|((place, pixels), redraws)| {
                if !flag.stopped() {
                    draw(place, pixels, redraws, flag);
                }
            });
        })
    };
    // Four bytes a cell of the canvas, eight a point, and as much again for good measure.
    if 8 * (rendering.height * rendering.width) + 16 * rendering.points > KEPT_BYTES {
        machine.forget_scratch()?;
    }
    done
}
