//! The released code, replayed.
//!
//! Each of their processes draws everything from one stream of Python's `random`, seeded with the
//! number of the process plus 1: the parameters of a category, the rings of its first image, the
//! start of the next image, its rings, and so on. Therefore, an image depends on all previous ones,
//! and a category records its stream and the number of words before its first image. Skipping
//! takes 0.2 ns per word, up to 3 s for the last category of a process; stepping through the images of
//! the category then takes about 6 µs per image. The stream after the last image is kept, so rendering in
//! order never skips the same words twice.

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::address::At;
use crate::arrays::Arrays;
use crate::error::Error;
use crate::formula::contour::atom::Atom;
use crate::formula::contour::noise::SPAN;
use crate::formula::contour::rcdb::Contour;
use crate::formula::contour::rings::{self, Draws, Polygon, Start, UNIT};
use crate::formula::contour::style::ContourStyle;
use crate::formula::interface::{Formula, Outcome};
use crate::machine::{InterruptCheck, Machine, Watch};
use crate::mersenne::Mersenne;
use crate::sample::Sample;

/// Python's `random`, and the number of words drawn from it.
#[derive(Clone)]
pub struct Stream {
    words: Mersenne,
    drawn: u64,
}

impl Stream {
    pub(super) fn new(seed: u64) -> Self {
        Self { words: Mersenne::python(seed), drawn: 0 }
    }

    fn skip(&mut self, words: usize) {
        self.words.skip(words);
        self.drawn += words as u64;
    }

    /// Like `random()`.
    fn unit(&mut self) -> f64 {
        self.drawn += 2;
        self.words.unit()
    }

    /// Like `uniform(low, high)`.
    pub(super) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Like `randint(low, high)`, for small numbers.
    pub(super) fn integer(&mut self, low: i64, high: i64) -> f64 {
        (low + self.below((high - low + 1) as u64) as i64) as f64
    }
}

impl Draws for Stream {
    /// Like `randrange(n)`: draws as many bits as n has until the number is below n.
    fn below(&mut self, n: u64) -> u64 {
        let bits = u64::BITS - n.leading_zeros(); // at most 32
        loop {
            self.drawn += 1;
            let word = u64::from(self.words.word() >> (32 - bits));
            if word < n {
                return word;
            }
        }
    }

    fn positions(&mut self, positions: &mut [f32]) {
        positions.fill_with(|| self.uniform(0.0, SPAN) as f32);
    }

    fn skip_positions(&mut self, positions: usize) {
        self.skip(2 * positions); // a position takes two words
    }
}

/// A category whose images are those of the released code.
#[derive(Clone, Debug)]
pub struct Released<P> {
    category: P,
    origin: Origin,
}

/// Where the images of a category begin in the random numbers of the released code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    /// The seed of Python's `random`.
    pub seed: u64,
    /// Words drawn before the rings of the first image.
    pub skip: u64,
    /// The start of the first image.
    pub start: Start,
}

/// What differs between the two released codes: each has its own order of drawing the parameters of a
/// category and the start of an image.
pub trait Program: Formula<Style = ContourStyle> {
    /// The core's name for the replay.
    const REPLAY: &'static str;

    /// Draws the row of a category and the start of its first image.
    fn category(stream: &mut Stream) -> (Vec<f64>, Start);
    /// Draws the start of the next image.
    fn next(before: Start, stream: &mut Stream) -> Start;

    /// Makes a category from its row.
    ///
    /// # Errors
    ///
    /// Returns an error if the row has the wrong length, or holds a number that is out of range.
    fn of_row(row: &[f64]) -> Result<Self, Error>;

    /// Returns the shape of its rings.
    fn polygon(&self) -> &Polygon;
}

impl Program for Contour {
    const REPLAY: &'static str = "rcdb-released";

    fn category(stream: &mut Stream) -> (Vec<f64>, Start) {
        let n = vertices(stream, 200.0);
        let rings = stream.integer(1, 200);
        let (noise, step) = (stream.uniform(0.0, 4.0), stream.uniform(0.0, 0.1));
        let radius = stream.integer(0, 100);
        let oval = [stream.uniform(1.0, 2.0), stream.uniform(1.0, 2.0)];
        (vec![n, rings, noise, step], Start { radius, oval, center: center(stream, 400) })
    }

    fn next(_: Start, stream: &mut Stream) -> Start {
        let oval = [stream.uniform(1.0, 2.0), stream.uniform(1.0, 2.0)];
        let radius = stream.integer(0, 100);
        Start { radius, oval, center: center(stream, 400) }
    }

    fn of_row(row: &[f64]) -> Result<Self, Error> {
        Self::new(row.try_into().map_err(|_| Error::Parameter("contours"))?)
    }

    fn polygon(&self) -> &Polygon {
        &self.0
    }
}

/// Uses the arguments of the script for VisualAtom-1k; its defaults give another data set.
impl Program for Atom {
    const REPLAY: &'static str = "visualatom-released";

    fn category(stream: &mut Stream) -> (Vec<f64>, Start) {
        let n = stream.integer(200, 1000);
        let rings = stream.integer(1, 200);
        let (noise, step) = (stream.uniform(0.0, 4.0), stream.uniform(0.0, 0.1));
        let radius = stream.integer(10, 60);
        let first = stream.integer(0, 20);
        let second = loop {
            let second = stream.integer(0, 20);
            if second != first || first == 0.0 {
                break second;
            }
        };
        let oval = [stream.uniform(1.0, 2.0), stream.uniform(1.0, 2.0)];
        let row = vec![n, rings, noise, step, first, second, radius, oval[0], oval[1]];
        (row, Start { radius, oval, center: center(stream, 512) })
    }

    fn next(before: Start, stream: &mut Stream) -> Start {
        Start { center: center(stream, 512), ..before }
    }

    fn of_row(row: &[f64]) -> Result<Self, Error> {
        Self::new(row.try_into().map_err(|_| Error::Parameter("atoms"))?)
    }

    fn polygon(&self) -> &Polygon {
        &self.polygon
    }
}

/// Like `int(expovariate(1/100))`, repeated until it is a valid number of vertices.
pub(super) fn vertices(stream: &mut Stream, most: f64) -> f64 {
    loop {
        let n = (-libm::log(1.0 - stream.unit()) / 0.01).trunc();
        if 2.0 < n && n <= most {
            return n;
        }
    }
}

/// Draws a center, y first.
fn center(stream: &mut Stream, most: i64) -> [f64; 2] {
    [0, 1].map(|_| (UNIT + stream.integer(-most, most)) / 2.0)
}

/// Memory kept from image to image.
#[derive(Default)]
pub struct Scratch {
    rings: rings::Scratch,
    /// The stream where the images of the last category begin.
    origin: Option<(Origin, Stream)>,
    /// The stream where the next image of the last category begins.
    next: Option<Next>,
}

/// The next image of a stream.
#[derive(Clone)]
struct Next {
    origin: Origin,
    /// Determines how many words an image takes. Categories of the same origin may differ in it, since
    /// both come from a file.
    polygon: Polygon,
    index: u64,
    start: Start,
    stream: Stream,
}

impl Scratch {
    /// Seeks an image of a category; `None` if rendering was stopped.
    fn seek<P: Program>(&mut self, category: &Released<P>, at: At<'_>) -> Option<Next> {
        let (origin, polygon, index) = (category.origin, category.category.polygon(), at.image_number());
        let kept = self.next.take().filter(|next| {
            let same = next.origin == origin && next.polygon == *polygon;
            same && next.index <= index
        });
        let mut next = match kept {
            Some(next) => next,
            None => {
                let stream = self.begin(origin, at)?;
                Next { origin, polygon: polygon.clone(), index: 0, start: origin.start, stream }
            }
        };
        while next.index < index {
            if at.stopped() {
                return None;
            }
            polygon.skip(&mut next.stream);
            next.start = P::next(next.start, &mut next.stream);
            next.index += 1;
        }
        Some(next)
    }

    /// Seeks the first image of a category.
    fn begin(&mut self, origin: Origin, at: At<'_>) -> Option<Stream> {
        let before = |&(kept, _): &(Origin, Stream)| kept.seed == origin.seed && kept.skip <= origin.skip;
        let (kept, mut stream) = match self.origin.take().filter(before) {
            Some((kept, stream)) => (kept.skip, stream),
            None => (0, Stream::new(origin.seed)),
        };
        let mut left = origin.skip - kept;
        while left > 0 {
            if at.stopped() {
                return None;
            }
            let some = left.min(1 << 24); // a few milliseconds
            stream.skip(some as usize); // fits everywhere
            left -= some;
        }
        self.origin = Some((origin, stream.clone()));
        Some(stream)
    }
}

impl<P: Program> Formula for Released<P> {
    const NAME: &'static str = P::REPLAY;
    const PART: bool = false;
    type Style = ContourStyle;
    type Scratch = Scratch;

    /// Reads the rows of the categories, and `origins` (categories, 7): seed, skip, radius, oval
    /// along x and y, center y and x.
    fn family(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        let origins = parameters.rows::<7>("origins")?;
        let categories = P::family(parameters)?;
        if origins.len() != categories.len() {
            return Err(Error::Parameter("origins"));
        }
        let whole = |given: f64| {
            let accepted = "a whole number between 0 and 2**53";
            Error::unless(given.fract() == 0.0, "origins", accepted, given)?;
            rings::within("origins", accepted, 0.0..=9e15, given).map(|given| given as u64)
        };
        // The released code stays well within these. Lines that end far outside the image take long.
        let long = |given| rings::within("the radius in origins", "between 0 and 256", 0.0..=256.0, given);
        let times = |given| rings::within("the oval in origins", "between 0 and 4", 0.0..=4.0, given);
        let at =
            |given| rings::within("the center in origins", "between -512 and 1024", -512.0..=1024.0, given);
        let origin = |&[seed, skip, radius, x, y, cy, cx]: &[f64; 7]| {
            let start =
                Start { radius: long(radius)?, oval: [times(x)?, times(y)?], center: [at(cy)?, at(cx)?] };
            Ok(Origin { seed: whole(seed)?, skip: whole(skip)?, start })
        };
        let both = categories.into_iter().zip(origins);
        both.map(|(category, row)| Ok(Self { category, origin: origin(row)? })).collect()
    }

    /// The released code draws every image once.
    fn retries(_: &ContourStyle) -> u8 {
        0
    }

    fn draw(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) -> Outcome {
        let polygon = self.category.polygon();
        let Some(mut next) = scratch.seek(self, at) else {
            return Outcome::Shown; // was stopped
        };
        polygon.draw(at, style, next.start, &mut next.stream, &mut scratch.rings);
        next.start = P::next(next.start, &mut next.stream);
        next.index += 1;
        // If it was stopped, the stream is somewhere within this image.
        scratch.next = (!at.stopped()).then_some(next);
        polygon.show(at, style, &scratch.rings, sample)
    }

    fn draw_fallback(
        &self,
        at: At<'_>,
        style: &ContourStyle,
        scratch: &mut Scratch,
        sample: &mut Sample<'_>,
    ) {
        self.category.polygon().draw_fallback(at, style, &mut scratch.rings, sample);
    }
}

/// The categories of a run: their rows, and where the images of each begin.
pub type Classes = Vec<(Vec<f64>, Origin)>;

/// Steps through a run in which `processes` processes share `categories` categories with `instances`
/// images each. `done` counts the categories.
///
/// # Errors
///
/// Returns [`Error::Interrupted`] if the run was stopped, [`Error::Zero`] if the machine has no threads, and
/// [`Error::Pool`] if they cannot be started.
pub fn classes<P: Program>(
    categories: u64,
    instances: u64,
    processes: u64,
    machine: &Machine,
    done: &AtomicU64,
    interrupted: InterruptCheck<'_>,
) -> Result<Classes, Error> {
    let share = |process: u64| {
        let before = u128::from(process) * u128::from(categories) / u128::from(processes);
        before as u64 // at most `categories`
    };
    machine.install_watched(interrupted, |flag| {
        let process = |process: u64| {
            if share(process) == share(process + 1) {
                return Ok(Classes::new());
            }
            let mut stream = Stream::new(process + 1);
            (share(process)..share(process + 1))
                .map(|_| {
                    let (row, start) = P::category(&mut stream);
                    let origin = Origin { seed: process + 1, skip: stream.drawn, start };
                    let category = P::of_row(&row)?;
                    let mut start = start;
                    for _ in 0..instances {
                        if flag.stopped() {
                            break;
                        }
                        category.polygon().skip(&mut stream);
                        start = P::next(start, &mut stream);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok((row, origin))
                })
                .collect::<Result<Classes, Error>>()
        };
        let all: Result<Vec<Classes>, Error> = (0..processes).into_par_iter().map(process).collect();
        Ok(all?.concat())
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formula::interface::assert_that_a_stop_spares_the_next_image;

    #[test]
    fn a_stopped_image_does_not_change_the_next() {
        let mut stream = Stream::new(1);
        let (row, start) = Contour::category(&mut stream);
        let origin = Origin { seed: 1, skip: stream.drawn, start };
        let formula = Released { category: Contour::of_row(&row).unwrap(), origin };
        assert_that_a_stop_spares_the_next_image(&formula, &ContourStyle::default());
    }
}
