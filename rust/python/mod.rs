//! The Python bindings, and the only folder that uses PyO3. A binding borrows arrays, detaches from the
//! interpreter, calls the core and returns.

mod categories;
mod generate;
mod png;
mod points3d;
mod search;
mod testing;

use std::panic::{AssertUnwindSafe, catch_unwind};

use numpy::{
    Element, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
    ToPyArray,
};
use pyo3::exceptions::{PyIndexError, PyKeyboardInterrupt, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::address::Address;
use crate::error::Error;
use crate::formula::BuiltIn;
use crate::formula::interface::NoStyle;
use crate::formula::system::System;
use crate::label::label;
use crate::machine::{InterruptCheck, Machine};
use crate::simd::Simd;
use crate::{order, pool};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Category { .. } => PyIndexError::new_err(message),
            Error::Pool { .. } => PyOSError::new_err(message),
            Error::Interrupted => PyKeyboardInterrupt::new_err(()),
            _ => PyValueError::new_err(message),
        }
    }
}

fn machine(num_threads: Option<usize>, simd: Option<&str>) -> Result<Machine, Error> {
    Ok(match simd {
        Some(name) => Machine { threads: num_threads, simd: Simd::named(name)? },
        None => Machine::new(num_threads)?,
    })
}

/// Runs `work` detached from the interpreter, while checking for Ctrl-C. A panic, which is a bug in
/// the core, becomes a RuntimeError, because `except Exception` does not catch PyO3's PanicException.
fn detached<R: Send>(
    py: Python<'_>,
    work: impl FnOnce(InterruptCheck<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    detached_with(py, |_| Ok(()), work)
}

/// Like [`detached`]; each check for Ctrl-C also calls `report`, which may raise an exception to stop.
fn detached_with<R: Send>(
    py: Python<'_>,
    mut report: impl FnMut(Python<'_>) -> PyResult<()> + Send,
    work: impl FnOnce(InterruptCheck<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    let mut raised = None;
    let mut interrupted = || {
        // The first exception is kept, because the work may go on for a few more checks before it stops.
        if raised.is_none() {
            match Python::try_attach(|py| py.check_signals().and_then(|()| report(py))) {
                Some(checked) => raised = checked.err(),
                None => return true, // the interpreter is shutting down, and this is a daemon thread
            }
        }
        raised.is_some()
    };
    let done = guarded(|| py.detach(|| work(&mut interrupted)));
    match raised {
        Some(error) => Err(error),
        None => Ok(done??),
    }
}

/// Runs `work` and turns a panic into a RuntimeError.
fn guarded<R>(work: impl FnOnce() -> R) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("no message");
        PyRuntimeError::new_err(format!(
            "internal error in fdsl: {message}. This is a bug; please report it with the call that caused it"
        ))
    })
}

/// Borrows the rows of a matrix with `N` columns.
fn matrix<'a, const N: usize>(
    name: &'static str,
    array: &'a PyReadonlyArray2<'_, f64>,
) -> PyResult<&'a [[f64; N]]> {
    if array.shape()[1] != N {
        Err(Error::Parameter(name))?;
    }
    Ok(array.as_slice()?.as_chunks().0)
}

/// Copies rows into an array.
fn rows<'py, T: Element + Copy, const N: usize>(
    py: Python<'py>,
    rows: &[[T; N]],
) -> PyResult<Bound<'py, PyArray2<T>>> {
    rows.as_flattened().to_pyarray(py).reshape([rows.len(), N])
}

/// Systems as flat arrays, one after the other: maps, probabilities (n,), and the number of maps of each.
type SystemArrays<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>);

/// Copies the maps and the probabilities of systems into arrays.
fn systems<'py, const N: usize>(py: Python<'py>, systems: &[System<N>]) -> PyResult<SystemArrays<'py>> {
    let maps: Vec<[f64; N]> = systems.iter().flat_map(System::maps).copied().collect();
    let probabilities: Vec<f64> = systems.iter().flat_map(System::probabilities).copied().collect();
    let lengths: Vec<i64> = systems.iter().map(|system| system.maps().len() as i64).collect();
    Ok((rows(py, &maps)?, probabilities.to_pyarray(py), lengths.to_pyarray(py)))
}

/// Samples of a stream between two checks for Ctrl-C: a few milliseconds of work.
const SAMPLES_PER_CHECK: usize = 1 << 16;

/// Fills two arrays with `of(i)` for i in 0..count, while checking for Ctrl-C.
fn filled<'py>(
    py: Python<'py>,
    count: usize,
    of: impl Fn(usize) -> (u64, u64) + Sync,
) -> PyResult<[Bound<'py, PyArray1<u64>>; 2]> {
    let (categories, indices): (Vec<u64>, Vec<u64>) = detached(py, |interrupted| {
        let mut both = (Vec::with_capacity(count), Vec::with_capacity(count));
        for first in (0..count).step_by(SAMPLES_PER_CHECK) {
            both.extend((first..count.min(first + SAMPLES_PER_CHECK)).map(&of));
            if interrupted() {
                return Err(Error::Interrupted);
            }
        }
        Ok(both)
    })?;
    Ok([categories.to_pyarray(py), indices.to_pyarray(py)])
}

/// Returns the categories and the indices of the given sample numbers of a stream.
#[pyfunction]
fn stream_order<'py>(
    py: Python<'py>,
    numbers: PyReadonlyArray1<'_, u64>,
    categories: u64,
    instances: Option<u64>,
    period: u64,
    seed: u64,
) -> PyResult<[Bound<'py, PyArray1<u64>>; 2]> {
    for (name, count) in
        [("categories", Some(categories)), ("instances", instances), ("period", Some(period))]
    {
        if count == Some(0) {
            Err(Error::Zero(name))?;
        }
    }
    let numbers = numbers.as_slice()?;
    filled(py, numbers.len(), |i| order::sample(numbers[i], categories, instances, period, seed))
}

/// Returns the labels of addresses, a share `noise` of which are drawn at random.
#[pyfunction]
fn noisy_labels<'py>(
    py: Python<'py>,
    categories: PyReadonlyArray1<'_, u64>,
    indices: PyReadonlyArray1<'_, u64>,
    seed: u64,
    count: u64,
    noise: f64,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let (categories, indices) = (categories.as_slice()?, indices.as_slice()?);
    if categories.len() != indices.len() {
        Err(Error::Length { name: "indices", expected: categories.len(), given: indices.len() })?;
    }
    let address = |i: usize| Address { seed, category: categories[i], index: indices[i] };
    let [labels, _] = filled(py, categories.len(), |i| (label(address(i), count, noise), 0))?;
    Ok(labels)
}

/// Returns the number of cores this process may use.
#[pyfunction]
fn cores() -> usize {
    pool::cores()
}

/// Checks the settings (`{"frame": …, "style": …}`) of a family, or only the frame if `family` is None.
#[pyfunction]
#[pyo3(signature = (family, settings))]
fn check_settings(family: Option<&str>, settings: &str) -> PyResult<()> {
    match family {
        Some(name) => BuiltIn::named(name)?.check(settings)?,
        None => _ = crate::family::settings::<NoStyle>(settings)?,
    }
    Ok(())
}

/// Returns the 128-bit seed of the random numbers of a family written in Python: a pure function of
/// the family's name and format, the address, and the attempt.
#[pyfunction]
fn address_key(family: &str, format: u64, seed: u64, category: u64, index: u64, attempt: u64) -> [u64; 2] {
    crate::address::external_key(family, format, [seed, category, index, attempt])
}

/// Records that this process is a fork, in which its parent's threads do not exist.
#[pyfunction]
fn forked() {
    pool::forked();
}

/// Issues a full memory fence for memory shared between processes: accesses before the call become
/// visible before those after it. Without it, on ARM, they may become visible in any order.
#[pyfunction]
fn memory_fence() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Returns the names of the SIMD backends this processor supports, slowest first; `FDSL_SIMD` selects one.
#[pyfunction]
fn simd_paths() -> Vec<&'static str> {
    Simd::available().iter().map(|backend| backend.name()).collect()
}

#[pymodule]
#[pyo3(name = "_core")]
mod core {
    #[pymodule_export]
    use super::categories::Categories;
    #[pymodule_export]
    use super::generate::{released_contours, sample_contractive, segrcdb_classes};
    #[pymodule_export]
    use super::png::encode_png;
    #[pymodule_export]
    use super::points3d::points3d;
    #[pymodule_export]
    use super::search::{search, search3d};
    #[pymodule_export]
    use super::testing::{diamond_square, draw_density, draw_points, draw_view, fail, released_patches};
    #[pymodule_export]
    use super::{
        address_key, check_settings, cores, forked, memory_fence, noisy_labels, simd_paths, stream_order,
    };
    use pyo3::prelude::*;
    use pyo3::types::IntoPyDict;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Imports NumPy's functions now. At their first use, Ctrl-C could break in, which is a panic.
        super::PyArray1::<u8>::zeros(module.py(), 0, false);
        // Chooses the backend now: a fork during the first render could inherit a lock that is held.
        let _ = super::Simd::chosen(); // an error is raised by the first call that renders
        let forked = module.getattr("forked")?;
        let os = module.py().import("os")?;
        if os.hasattr("register_at_fork")? {
            let after = [("after_in_child", forked)].into_py_dict(module.py())?;
            os.call_method("register_at_fork", (), Some(&after))?;
        }
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
