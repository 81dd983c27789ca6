//! The only folder that knows Python: borrows arrays, lets go of the interpreter, calls, returns.

mod categories;
mod png;
mod rendering;
mod search;
mod testing;

use numpy::{PyArray1, PyReadonlyArray1, ToPyArray};
use pyo3::exceptions::{PyIndexError, PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::address::Address;
use crate::error::Error;
use crate::label::label;
use crate::render::Machine;
use crate::simd::Simd;
use crate::{order, pool};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Category { .. } => PyIndexError::new_err(message),
            Error::Pool { .. } => PyOSError::new_err(message),
            _ => PyValueError::new_err(message),
        }
    }
}

fn machine(threads: Option<usize>, simd: Option<&str>) -> Result<Machine, Error> {
    Ok(match simd {
        Some(name) => Machine { threads, simd: Simd::named(name)? },
        None => Machine::new(threads)?,
    })
}

/// Returns the (category, index) arrays of the samples numbered `numbers` of a stream.
#[pyfunction]
fn stream_order<'py>(
    py: Python<'py>,
    numbers: PyReadonlyArray1<'_, u64>,
    categories: u64,
    instances: Option<u64>,
    seed: u64,
) -> PyResult<[Bound<'py, PyArray1<u64>>; 2]> {
    if categories == 0 || instances == Some(0) {
        Err(Error::NoCategories)?;
    }
    let samples = numbers.as_array().into_iter().map(|&n| order::sample(n, categories, instances, seed));
    let (categories, indices): (Vec<u64>, Vec<u64>) = samples.unzip();
    Ok([categories.to_pyarray(py), indices.to_pyarray(py)])
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
) -> Bound<'py, PyArray1<u64>> {
    let (categories, indices) = (categories.as_array(), indices.as_array());
    let addresses = categories.into_iter().zip(indices);
    let labels = addresses.map(|(&category, &index)| label(Address { seed, category, index }, count, noise));
    labels.collect::<Vec<u64>>().to_pyarray(py)
}

/// Returns the number of cores that this process may use.
#[pyfunction]
fn cores() -> usize {
    pool::cores()
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
    use super::rendering::PyRendering;
    #[pymodule_export]
    use super::search::search;
    #[pymodule_export]
    use super::testing::draw_dots;
    #[pymodule_export]
    use super::{cores, noisy_labels, simd_paths, stream_order};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("FORMAT", crate::address::FORMAT)
    }
}
