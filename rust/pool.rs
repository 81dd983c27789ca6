//! Thread pools that survive a fork.
//!
//! A forked child inherits a pool's bookkeeping but none of its threads, and would wait for them
//! forever; torch's DataLoader forks. So a pool belongs to the process that created it, and a
//! child ignores its parent's pools and creates its own. Rayon's global pool is never used.
//!
//! The list of pools is replaced as a whole by compare-and-swap and is never locked, so a fork
//! cannot catch it half-updated, whatever another thread is doing. (With `OnceLock` or `Mutex` the
//! child could inherit a lock held by a thread that it does not have.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// The most pools kept: one for all cores, and one for another number of threads. A program that
/// tries 1 to 64 threads would otherwise keep 2,080 threads.
const MAX_POOLS: usize = 2;

/// The pools of one process, newest first.
struct Pools {
    process: Process,
    pools: Vec<Arc<ThreadPool>>,
}

/// Keeps the pools of a process.
struct Cache {
    pools: ArcSwapOption<Pools>,
    forks: AtomicU64,
}

static CACHE: Cache = Cache::new();

/// The process ID and the number of forks so far. The ID alone does not identify a process: IDs are
/// reused, and every PID namespace has its own 1.
type Process = (u32, u64);

/// Records that this process is a fork. Must be called in the child; Python calls it through
/// `os.register_at_fork`.
pub fn forked() {
    CACHE.forks.fetch_add(1, Ordering::Relaxed);
}

/// Returns the number of cores this process may use, by its CPU affinity and cgroup. Under torchrun
/// the cores are divided among the processes on this machine (`LOCAL_WORLD_SIZE`).
pub fn cores() -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let ranks = std::env::var("LOCAL_WORLD_SIZE").ok().and_then(|ranks| ranks.parse().ok());
    (all / ranks.unwrap_or(1).max(1)).max(1)
}

/// Returns this process's pool of `threads` threads.
pub(crate) fn pool(threads: usize) -> Result<Arc<ThreadPool>, Error> {
    CACHE.pool(threads)
}

/// Returns this process's pool of `threads` threads, if there is one.
pub(crate) fn started(threads: usize) -> Option<Arc<ThreadPool>> {
    CACHE.pools.load().as_ref()?.find(CACHE.process(), threads)
}

impl Pools {
    fn find(&self, process: Process, threads: usize) -> Option<Arc<ThreadPool>> {
        let mut pools = self.pools.iter().filter(|_| self.process == process);
        pools.find(|pool| pool.current_num_threads() == threads).cloned()
    }
}

impl Cache {
    const fn new() -> Self {
        Self { pools: ArcSwapOption::const_empty(), forks: AtomicU64::new(0) }
    }

    fn process(&self) -> Process {
        (std::process::id(), self.forks.load(Ordering::Relaxed))
    }

    fn pool(&self, threads: usize) -> Result<Arc<ThreadPool>, Error> {
        let process = self.process();
        let found = |pools: &Option<Arc<Pools>>| pools.as_ref()?.find(process, threads);
        if let Some(pool) = found(&self.pools.load()) {
            return Ok(pool);
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("fdsl-{i}"))
            .build()
            .map_err(|error| Error::Pool { threads, reason: error.to_string() })?;
        let pool = Arc::new(pool);
        loop {
            let before = self.pools.load_full();
            if let Some(first) = found(&before) {
                return Ok(first); // another thread was faster
            }
            let kept = before.as_ref().filter(|pools| pools.process == process);
            let kept = kept.iter().flat_map(|pools| &pools.pools).take(MAX_POOLS - 1).cloned();
            let pools = std::iter::once(pool.clone()).chain(kept).collect();
            let swapped = self.pools.compare_and_swap(&before, Some(Arc::new(Pools { process, pools })));
            if swapped.as_ref().map(Arc::as_ptr) == before.as_ref().map(Arc::as_ptr) {
                if before.as_ref().is_some_and(|pools| pools.process != process) {
                    // Dropping a pool wakes its threads, and the parent's do not exist here.
                    std::mem::forget(before);
                }
                return Ok(pool);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pools_are_kept_and_a_fork_creates_its_own() {
        let cache = Cache::new(); // not the process's, which other tests use
        let pool = |threads| cache.pool(threads).unwrap();
        let (two, three) = (pool(2), pool(3));
        assert!(Arc::ptr_eq(&two, &pool(2)));
        assert!(Arc::ptr_eq(&three, &pool(3)));
        assert_eq!((two.current_num_threads(), three.current_num_threads()), (2, 3));
        for threads in 4..20 {
            assert_eq!(pool(threads).current_num_threads(), threads);
        }
        assert_eq!(cache.pools.load().as_ref().map(|pools| pools.pools.len()), Some(MAX_POOLS));
        assert_eq!(Arc::strong_count(&two), 1); // no longer in the list

        let before = pool(2);
        cache.forks.fetch_add(1, Ordering::Relaxed);
        let after = pool(2);
        assert!(!Arc::ptr_eq(&before, &after));
        assert!(Arc::strong_count(&before) > 1); // leaked: it is the parent's
    }
}
