//! How rendering uses the machine: the number of threads, the SIMD backend, scratch memory that is
//! reused from sample to sample, and checks for interrupts.

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

/// The time between two checks for an interrupt. Ctrl-C takes effect within half a second, except in the
/// middle of a single image of millions of points, which may take a few seconds.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// The largest amount of scratch memory that a thread keeps for its next sample. Without a limit, every
/// thread would keep as much as its largest image has needed.
const MAX_SCRATCH_BYTES: usize = 64 << 20;

/// The number of threads and the SIMD backend. Samples do not depend on either.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The number of threads. `None`: one for each core that this process may use.
    pub threads: Option<usize>,
    /// The SIMD backend.
    pub simd: Simd,
}

/// A callback that returns whether to stop. Called at intervals, on the thread of the caller.
pub type InterruptCheck<'a> = &'a mut dyn FnMut() -> bool;

/// Tells running work to stop. Check it in any loop that may run for more than a few milliseconds;
/// the contents of a stopped image do not matter.
pub trait Watch {
    /// Returns whether to stop.
    fn stopped(&self) -> bool;
}

impl Machine {
    /// Uses the SIMD backend named by `FDSL_SIMD`, or the fastest one.
    ///
    /// # Errors
    ///
    /// Returns an error if `FDSL_SIMD` names a backend that is unknown or not supported by this processor.
    pub fn new(threads: Option<usize>) -> Result<Self, Error> {
        Ok(Self { threads, simd: Simd::chosen()? })
    }

    /// Returns the number of threads.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Zero`] if the number is 0.
    pub fn threads(&self) -> Result<usize, Error> {
        match self.threads {
            Some(0) => Err(Error::Zero("num_threads")),
            Some(threads) => Ok(threads),
            None => Ok(pool::cores()),
        }
    }

    /// Returns this machine with a fixed number of threads for `tasks` tasks: one for a single task, which
    /// then runs on the calling thread, since waking a pool takes 20 µs. Counting the cores takes 12 to
    /// 27 µs, so a call does it at most once.
    pub(crate) fn settled(self, tasks: usize) -> Result<Self, Error> {
        let threads = if tasks <= 1 && self.threads != Some(0) { 1 } else { self.threads()? };
        Ok(Self { threads: Some(threads), ..self })
    }

    /// Returns the number of threads that can run at the same time.
    pub(crate) fn parallelism(&self) -> Result<usize, Error> {
        Ok(self.threads()?.min(pool::cores()))
    }

    /// Runs `work` in the thread pool of this machine, in which rayon's parallel iterators then run.
    pub(crate) fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
        Ok(pool::pool(self.threads()?)?.install(work))
    }

    /// Runs `work` in the thread pool of this machine while the calling thread checks for an
    /// interrupt. Waits for `work` to return even after an interrupt.
    pub(crate) fn install_watched<R: Send>(
        &self,
        interrupted: InterruptCheck<'_>,
        work: impl FnOnce(&Flag) -> R + Send,
    ) -> Result<R, Error> {
        let pool = pool::pool(self.threads()?)?;
        let flag = Flag::default();
        let mut result = None;
        // Closes when the work is done or has panicked.
        let (working, done) = sync_channel::<()>(0);
        pool.in_place_scope(|scope| {
            let (result, flag) = (&mut result, &flag);
            scope.spawn(move |_| {
                let _working = working;
                *result = Some(work(flag));
            });
            while done.recv_timeout(CHECK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if interrupted() {
                    flag.stop();
                }
            }
        });
        // A panic has already been propagated by the scope.
        result.filter(|_| !flag.stopped()).ok_or(Error::Interrupted)
    }

    /// Like `install_watched`, for work that owns its data: returns immediately on an interrupt. The
    /// threads then finish in the background, and their result is discarded.
    #[cfg(feature = "python")]
    pub(crate) fn spawn_watched<R: Send + 'static>(
        &self,
        interrupted: InterruptCheck<'_>,
        work: impl FnOnce(&Flag) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let flag = Arc::new(Flag::default());
        let watch = flag.clone();
        let (send, result) = sync_channel(1);
        let pool = pool::pool(self.threads()?)?;
        let in_use = pool.clone();
        pool.spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(|| work(&watch)));
            drop(in_use); // before the caller can ask for a pool again
            // After an interrupt there is no receiver.
            let _ = send.send(done);
        });
        loop {
            match result.recv_timeout(CHECK_EVERY) {
                Ok(Ok(result)) => return Ok(result),
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) if interrupted() => {
                    flag.stop();
                    return Err(Error::Interrupted);
                }
                Err(_) => {}
            }
        }
    }

    /// Frees the scratch memory of the calling thread and of this machine's threads, if a sample took
    /// `bytes` and that is more than a thread may keep.
    pub(crate) fn free_large_scratch(&self, bytes: usize) -> Result<(), Error> {
        if bytes > MAX_SCRATCH_BYTES {
            drop(SCRATCH.take());
            for pool in pool::idle(self.threads()?) {
                pool.broadcast(|_| drop(SCRATCH.take()));
            }
        }
        Ok(())
    }
}

/// A stop flag, set by the calling thread and read by the workers.
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

/// Checks for an interrupt at fixed intervals. Used if the calling thread does the work itself.
pub(crate) struct Clock<'a> {
    interrupted: RefCell<InterruptCheck<'a>>,
    last_check: Cell<Instant>,
    stopped: Cell<bool>,
}

impl<'a> Clock<'a> {
    pub(crate) fn new(interrupted: InterruptCheck<'a>) -> Self {
        Self {
            interrupted: RefCell::new(interrupted),
            last_check: Cell::new(Instant::now()),
            stopped: Cell::new(false),
        }
    }
}

impl Watch for Clock<'_> {
    fn stopped(&self) -> bool {
        if self.last_check.get().elapsed() >= CHECK_EVERY {
            self.last_check.set(Instant::now());
            let stop = self.interrupted.borrow_mut()();
            self.stopped.set(self.stopped.get() || stop);
        }
        self.stopped.get()
    }
}

/// Stops at a check, and stays stopped, as the others do.
#[cfg(test)]
pub(crate) struct StopsAfter(pub Cell<usize>);

#[cfg(test)]
impl Watch for StopsAfter {
    fn stopped(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left == 0
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(vec![]) };
}

/// Runs `work` with this thread's scratch memory of type `S`. The memory is reused from call to call:
/// for a small image, allocating it would take longer than plotting the points.
pub(crate) fn with_scratch<S: Default + 'static, R>(work: impl FnOnce(&mut S) -> R) -> R {
    let kept = SCRATCH.with_borrow_mut(|kept| {
        let position = kept.iter().position(|scratch| scratch.is::<S>())?;
        Some(kept.swap_remove(position))
    });
    // The list is not borrowed during `work`, which may need scratch memory of another type.
    let mut scratch = kept.unwrap_or_else(|| Box::new(S::default()));
    let result = work(scratch.downcast_mut().expect("scratch of type S"));
    SCRATCH.with_borrow_mut(|kept| kept.push(scratch));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_stops_the_work_on_one_thread_and_on_several() {
        let machine = Machine { threads: Some(2), simd: Simd::PLAIN };
        let mut checks = 0;
        let mut at_the_third_check = || {
            checks += 1;
            checks == 3
        };
        let stopped = machine.install_watched(&mut at_the_third_check, |flag| while !flag.stopped() {});
        assert_eq!(stopped, Err(Error::Interrupted));
        let mut at_once = || true;
        let clock = Clock::new(&mut at_once);
        while !clock.stopped() {}
        let mut asked = false;
        let mut once = || !std::mem::replace(&mut asked, true);
        let clock = Clock::new(&mut once);
        while !clock.stopped() {}
        std::thread::sleep(2 * CHECK_EVERY); // until it asks again
        assert!(clock.stopped());
        assert_eq!(machine.install_watched(&mut || true, |_| 7), Ok(7));
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let machine = Machine { threads: Some(2), simd: Simd::PLAIN };
        let work = || machine.install_watched(&mut || false, |_| panic!("as asked"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
    }
}
