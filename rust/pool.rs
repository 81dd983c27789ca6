//! This process's own thread pools.
//!
//! A child forked after a pool has run inherits its bookkeeping and none of its threads,
//! and waits for them for ever; torch's DataLoader forks. So a pool belongs to the process
//! that made it: it is looked up by process id, and a child leaves its parent's alone and
//! makes its own. Rayon's global pool is never touched.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// A list that only grows; nothing in it is ever locked, so a fork cannot catch it half-way.
struct Node {
    process: u32,
    threads: usize,
    pool: ThreadPool,
    next: OnceLock<&'static Node>,
}

static FIRST: OnceLock<&'static Node> = OnceLock::new();

/// Returns the cores that this process may use, by its affinity and its cgroup.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns this process's pool of `threads` threads.
pub(crate) fn pool(threads: usize) -> Result<&'static ThreadPool, Error> {
    let process = std::process::id();
    let mut link = &FIRST;
    let mut made: Option<&'static Node> = None;
    loop {
        let node = match (link.get(), made) {
            (Some(node), _) => node,
            (None, Some(new)) => link.get_or_init(|| new), // another thread may have been first
            (None, None) => {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("fdsl-{i}"))
                    .build()
                    .map_err(|error| Error::Pool { threads, reason: error.to_string() })?;
                // Leaked on purpose: the pool serves until the process ends.
                made = Some(Box::leak(Box::new(Node { process, threads, pool, next: OnceLock::new() })));
                continue;
            }
        };
        if node.process == process && node.threads == threads {
            return Ok(&node.pool);
        }
        link = &node.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_made_once() {
        let (two, three) = (pool(2).unwrap(), pool(3).unwrap());
        assert!(std::ptr::eq(two, pool(2).unwrap()));
        assert_eq!((two.current_num_threads(), three.current_num_threads()), (2, 3));
    }
}
