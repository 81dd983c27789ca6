//! What does the work: threads, a path of the processor, memory kept from image to image, and
//! the look for whoever wants it to stop.

use std::any::Any;
use std::cell::{Cell, RefCell};
#[cfg(feature = "python")]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[cfg(feature = "python")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::pool;
use crate::simd::Simd;

/// Between two looks. Ctrl-C is answered within half a second, whatever is rendered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What does the work: how many threads, on which path. No byte depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// `None` is all the cores this process may use.
    pub threads: Option<usize>,
    /// The processor's path.
    pub simd: Simd,
}

/// Asked now and then, in the thread that called, whether to stop.
pub type Look<'a> = &'a mut dyn FnMut() -> bool;

/// Tells work whether it is still wanted. Ask in any loop that may take more than a few
/// milliseconds; what a stopped image holds does not matter.
pub trait Watch {
    /// Says whether to give up.
    fn stopped(&self) -> bool;
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

    /// Does so while this thread looks; waits for the work also when it was stopped.
    pub(crate) fn install_watched<R: Send>(
        &self,
        look: Look<'_>,
        work: impl FnOnce(&Flag) -> R + Send,
    ) -> Result<R, Error> {
        let pool = pool::pool(self.threads()?)?;
        let flag = Flag::default();
        let mut result = None;
        // Closed when the work is done, or has panicked.
        let (working, done) = sync_channel::<()>(0);
        pool.in_place_scope(|scope| {
            let (result, flag) = (&mut result, &flag);
            scope.spawn(move |_| {
                let _working = working;
                *result = Some(work(flag));
            });
            while done.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if look() {
                    flag.stop();
                }
            }
        });
        // A panic has gone on to the caller.
        result.filter(|_| !flag.stopped()).ok_or(Error::Interrupted)
    }

    /// Does so for work that owns what it works on: once stopped this returns at once, and the
    /// threads finish what they are at for nobody.
    #[cfg(feature = "python")]
    pub(crate) fn spawn_watched<R: Send + 'static>(
        &self,
        look: Look<'_>,
        work: impl FnOnce(&Flag) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let flag = Arc::new(Flag::default());
        let watch = flag.clone();
        let (send, result) = sync_channel(1);
        pool::pool(self.threads()?)?.spawn(move || {
            // Nobody listens any more once it was stopped.
            let _ = send.send(catch_unwind(AssertUnwindSafe(|| work(&watch))));
        });
        loop {
            match result.recv_timeout(LOOK_EVERY) {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) if look() => {
                    flag.stop();
                    return Err(Error::Interrupted);
                }
                Err(_) => {}
            }
        }
    }

    /// Lets go of the memory that this machine's threads keep.
    pub(crate) fn forget_scratch(&self) -> Result<(), Error> {
        if self.threads()? == 1 {
            drop(SCRATCH.take());
        } else {
            pool::pool(self.threads()?)?.broadcast(|_| drop(SCRATCH.take()));
        }
        Ok(())
    }
}

/// Set by the thread that looks, read by those that work.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Watch for Flag {
    fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks by the clock, where the thread that called does the work itself.
pub(crate) struct Clock<'a> {
    look: RefCell<Look<'a>>,
    looked: Cell<Instant>,
    stopped: Cell<bool>,
}

impl<'a> Clock<'a> {
    pub(crate) fn new(look: Look<'a>) -> Self {
        Self { look: RefCell::new(look), looked: Cell::new(Instant::now()), stopped: Cell::new(false) }
    }
}

impl Watch for Clock<'_> {
    fn stopped(&self) -> bool {
        if self.looked.get().elapsed() >= LOOK_EVERY {
            self.looked.set(Instant::now());
            let stop = self.look.borrow_mut()();
            self.stopped.set(self.stopped.get() || stop);
        }
        self.stopped.get()
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(vec![]) };
}

/// Lends this thread's scratch of one kind. It stays from call to call: a small image would spend
/// more time on fresh memory than on its points.
pub(crate) fn with_scratch<S: Default + 'static, R>(work: impl FnOnce(&mut S) -> R) -> R {
    let kept = SCRATCH.with_borrow_mut(|kept| {
        let at = kept.iter().position(|scratch| scratch.is::<S>())?;
        Some(kept.swap_remove(at))
    });
    // Taken out meanwhile, because work may need scratch of another kind.
    let mut scratch = kept.unwrap_or_else(|| Box::new(S::default()));
    let result = work(scratch.downcast_mut().expect("it is of this kind"));
    SCRATCH.with_borrow_mut(|kept| kept.push(scratch));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_nobody_wants_any_more_is_stopped_on_one_thread_and_on_several() {
        let machine = Machine { threads: Some(2), simd: Simd::PLAIN };
        let mut looks = 0;
        let mut third = || {
            looks += 1;
            looks == 3
        };
        let stopped = machine.install_watched(&mut third, |flag| while !flag.stopped() {});
        assert_eq!(stopped, Err(Error::Interrupted));
        let mut at_once = || true;
        let clock = Clock::new(&mut at_once);
        while !clock.stopped() {}
        assert_eq!(machine.install_watched(&mut || true, |_| 7), Ok(7));
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let machine = Machine { threads: Some(2), simd: Simd::PLAIN };
        let work = || machine.install_watched(&mut || false, |_| panic!("as asked"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    }
}
