//! The only folder that knows Python: borrows arrays, lets go of the interpreter, calls, returns.

mod categories;
mod png;
mod search;
mod testing;

use std::panic::{AssertUnwindSafe, catch_unwind};

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::exceptions::{PyIndexError, PyKeyboardInterrupt, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::address::Address;
use crate::error::Error;
use crate::formula::BuiltIn;
use crate::formula::interface::NoStyle;
use crate::label::label;
use crate::machine::{Look, Machine};
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

/// Calls the core without the interpreter, and looks for Ctrl-C meanwhile. A panic is a mistake of
/// ours: it becomes a RuntimeError, which `except Exception` catches.
fn detached<R: Send>(py: Python<'_>, work: impl FnOnce(Look<'_>) -> Result<R, Error> + Send) -> PyResult<R> {
    let mut raised = None;
    let mut look = || {
        // None while the interpreter ends, which a daemon thread may outlive. Once a handler has
        // raised, its exception is the one: the work may take a few more looks to stop.
        if raised.is_none() {
            raised = Python::try_attach(|py| py.check_signals()).and_then(Result::err);
        }
        raised.is_some()
    };
    let done = guarded(|| py.detach(|| work(&mut look)))?;
    match raised {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}

/// Calls the core; a panic becomes a RuntimeError.
fn guarded<R>(work: impl FnOnce() -> R) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let said = said.unwrap_or("it did not say why");
        PyRuntimeError::new_err(format!(
            "fdsl failed through a bug of its own: {said}. Please report it, with what you called"
        ))
    })
}

/// Samples of a stream between two looks for Ctrl-C: some milliseconds.
const ORDER_AT_ONCE: usize = 1 << 16;

/// Fills two arrays from `of(i)` for i below `count`, and looks for Ctrl-C between.
fn filled<'py>(
    py: Python<'py>,
    count: usize,
    of: impl Fn(usize) -> (u64, u64) + Sync,
) -> PyResult<[Bound<'py, PyArray1<u64>>; 2]> {
    let (categories, indices): (Vec<u64>, Vec<u64>) = detached(py, |look| {
        let mut both = (Vec::with_capacity(count), Vec::with_capacity(count));
        for first in (0..count).step_by(ORDER_AT_ONCE) {
            both.extend((first..count.min(first + ORDER_AT_ONCE)).map(&of));
            if look() {
                return Err(Error::Interrupted);
            }
        }
        Ok(both)
    })?;
    Ok([categories.to_pyarray(py), indices.to_pyarray(py)])
}

/// Returns the (category, index) arrays of the samples numbered `numbers` of a stream.
#[pyfunction]
fn stream_order<'py>(
    py: Python<'py>,
    numbers: PyReadonlyArray1<'_, u64>,
    categories: u64,
    instances: Option<u64>,
    period: u64,
    seed: u64,
) -> PyResult<[Bound<'py, PyArray1<u64>>; 2]> {
    if categories == 0 || instances == Some(0) || period == 0 {
        Err(Error::NoCategories)?;
    }
    let numbers = numbers.as_slice()?;
    filled(py, numbers.len(), |i| order::sample(numbers[i], categories, instances, period, seed))
}

/// Returns the labels of addresses of which a share `noise` has one drawn by chance.
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
        Err(Error::Buffer { expected: categories.len(), given: indices.len() })?;
    }
    let address = |i: usize| Address { seed, category: categories[i], index: indices[i] };
    let [labels, _] = filled(py, categories.len(), |i| (label(address(i), count, noise), 0))?;
    Ok(labels)
}

/// Returns the number of cores that this process may use.
#[pyfunction]
fn cores() -> usize {
    pool::cores()
}

/// Checks the settings (`{"frame": …, "style": …}`) of a family, or the frame alone.
#[pyfunction]
#[pyo3(signature = (family, settings))]
fn check_settings(family: Option<&str>, settings: &str) -> PyResult<()> {
    match family {
        Some(name) => BuiltIn::named(name)?.check(settings)?,
        None => _ = crate::family::settings::<NoStyle>(settings)?,
    }
    Ok(())
}

/// Returns 128 bits that a family written in Python seeds its random numbers with: a pure function
/// of the family's name and format, and of the address and attempt.
#[pyfunction]
fn address_key(family: &str, format: u64, seed: u64, category: u64, index: u64, attempt: u64) -> [u64; 2] {
    crate::address::foreign_key(family, format, [seed, category, index, attempt])
}

/// Notes that this process is a fork, whose parent's threads are not here.
#[pyfunction]
fn forked() {
    pool::forked();
}

/// Returns the names of this processor's paths, slowest first; `FDSL_SIMD` forces one.
#[pyfunction]
fn simd_paths() -> Vec<&'static str> {
    Simd::available().iter().map(|path| path.name()).collect()
}

#[pymodule]
#[pyo3(name = "_core")]
mod core {
    #[pymodule_export]
    use super::categories::Categories;
    #[pymodule_export]
    use super::png::encode_png;
    #[pymodule_export]
    use super::search::search;
    #[pymodule_export]
    use super::testing::{draw_points, fail};
    #[pymodule_export]
    use super::{address_key, check_settings, cores, forked, noisy_labels, simd_paths, stream_order};
    use pyo3::prelude::*;
    use pyo3::types::IntoPyDict;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let forked = module.getattr("forked")?;
        let os = module.py().import("os")?;
        if os.hasattr("register_at_fork")? {
            let after = [("after_in_child", forked)].into_py_dict(module.py())?;
            os.call_method("register_at_fork", (), Some(&after))?;
        }
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
