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

/// The most pools kept that are not in use: one for all cores, and one for another number of threads. A
/// program that tries 1 to 64 threads would otherwise keep 2,080 threads.
const MAX_IDLE: usize = 2;
/// The most pools with the same number of threads. A call whose pool is in use by another call gets
/// its own: rayon's threads start new work only when all earlier work is done, so a small image, and
/// its Ctrl-C, would wait for thousands of others. More calls at the same time share a pool.
const MAX_OF_A_SIZE: usize = 2;

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
#[cfg(feature = "python")]
pub(crate) fn forked() {
    CACHE.forks.fetch_add(1, Ordering::Relaxed);
}

/// Returns the number of cores this process may use, by its CPU affinity and cgroup. Under torchrun
/// the cores are divided among the processes on this machine (`LOCAL_WORLD_SIZE`).
pub(crate) fn cores() -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let ranks = std::env::var("LOCAL_WORLD_SIZE").ok().and_then(|ranks| ranks.parse().ok());
    (all / ranks.unwrap_or(1).max(1)).max(1)
}

/// Returns a pool of `threads` threads of this process, which is in use until it is dropped.
pub(crate) fn pool(threads: usize) -> Result<Arc<ThreadPool>, Error> {
    CACHE.pool(threads)
}

/// Returns the pools of `threads` threads of this process that are not in use.
pub(crate) fn idle(threads: usize) -> Vec<Arc<ThreadPool>> {
    let pools = CACHE.pools.load();
    let pools = pools.iter().flat_map(|pools| pools.of(CACHE.process(), threads));
    pools.filter(|pool| !in_use(pool)).cloned().collect()
}

fn in_use(pool: &Arc<ThreadPool>) -> bool {
    Arc::strong_count(pool) > 1
}

impl Pools {
    fn of(&self, process: Process, threads: usize) -> impl Iterator<Item = &Arc<ThreadPool>> {
        let own = self.pools.iter().filter(move |_| self.process == process);
        own.filter(move |pool| pool.current_num_threads() == threads)
    }

    fn find(&self, process: Process, threads: usize) -> Option<Arc<ThreadPool>> {
        let free = self.of(process, threads).find(|pool| !in_use(pool));
        free.or_else(|| self.of(process, threads).nth(MAX_OF_A_SIZE - 1)).cloned()
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
            let mut idle = 1; // the new one will be
            let kept = kept.iter().flat_map(|pools| &pools.pools).filter(|pool| {
                idle += usize::from(!in_use(pool));
                in_use(pool) || idle <= MAX_IDLE
            });
            let pools = std::iter::once(&pool).chain(kept).cloned().collect();
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
        let address = |pool: Arc<ThreadPool>| Arc::as_ptr(&pool);
        let (two, three) = (address(pool(2)), address(pool(3)));
        assert_eq!((two, three), (address(pool(2)), address(pool(3))));
        let kept = pool(2);
        assert_eq!((kept.current_num_threads(), pool(3).current_num_threads()), (2, 3));
        for threads in 4..20 {
            assert_eq!(pool(threads).current_num_threads(), threads);
        }
        assert_eq!(cache.pools.load().as_ref().map(|pools| pools.pools.len()), Some(1 + MAX_IDLE));
        assert!(Arc::ptr_eq(&kept, &cache.pools.load().as_ref().unwrap().pools[2])); // in use

        let before = pool(2);
        cache.forks.fetch_add(1, Ordering::Relaxed);
        let after = pool(2);
        assert!(!Arc::ptr_eq(&before, &after));
        assert!(Arc::strong_count(&before) > 1); // leaked: it is the parent's
    }

    #[test]
    fn a_call_does_not_wait_for_the_pool_of_another() {
        let cache = Cache::new();
        let pool = |threads| cache.pool(threads).unwrap();
        let (first, second, third) = (pool(2), pool(2), pool(2));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&third, &first)); // shared
        let free = Arc::as_ptr(&second);
        drop(second);
        assert!(std::ptr::eq(Arc::as_ptr(&pool(2)), free));
        let another = Arc::as_ptr(&pool(3));
        for _ in 0..3 {
            assert!(std::ptr::eq(Arc::as_ptr(&pool(2)), free)); // neither replaces the other
            assert!(std::ptr::eq(Arc::as_ptr(&pool(3)), another));
        }
    }
}
