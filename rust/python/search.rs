//! The searches for categories.

use std::ops::ControlFlow;

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;

use super::{guarded, machine, systems};
use crate::error::Error;
use crate::formula::ifs::measure::Measure;
use crate::formula::system::search::{Sampler, Stopped};
use crate::formula::{ifs, ifs3d};

/// Systems as flat arrays, as [`systems`] returns them, and the number of candidates tried.
type FoundArrays<'py> =
    (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>, u64);

/// Searches for categories. Returns maps (n, 6), probabilities (n,), lengths (categories,) and the
/// number of candidates tried. `progress(found, tried)` may raise an exception to cancel the search.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (*, categories, fill_rate, seed, min_maps, max_maps, size, num_points, margin, max_tries, sampler, num_threads, progress))]
pub(super) fn search<'py>(
    py: Python<'py>,
    categories: usize,
    fill_rate: f64,
    seed: u64,
    min_maps: usize,
    max_maps: usize,
    size: usize,
    num_points: usize,
    margin: usize,
    max_tries: u64,
    sampler: &str,
    num_threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<FoundArrays<'py>> {
    let sampler = sampler_named(sampler)?;
    let measure = Measure { size, num_points, margin };
    let search =
        ifs::search::Search { categories, fill_rate, seed, min_maps, max_maps, measure, max_tries, sampler };
    let machine = machine(num_threads, None)?;
    let found = reported(py, progress, |report| search.run(&machine, report))?;
    let found_systems = found.categories.iter().map(|ifs| (ifs.maps(), ifs.probabilities()));
    found_arrays(py, found_systems, found.tried)
}

/// Searches for categories in three dimensions. Returns maps (n, 12) and the rest as [`search`] does.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (*, categories, threshold, seed, min_maps, max_maps, num_points, max_tries, sampler, num_threads, progress))]
pub(super) fn search3d<'py>(
    py: Python<'py>,
    categories: usize,
    threshold: f64,
    seed: u64,
    min_maps: usize,
    max_maps: usize,
    num_points: usize,
    max_tries: u64,
    sampler: &str,
    num_threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<FoundArrays<'py>> {
    let sampler = sampler_named(sampler)?;
    let search = ifs3d::search::Search {
        categories,
        threshold,
        seed,
        min_maps,
        max_maps,
        num_points,
        max_tries,
        sampler,
    };
    let machine = machine(num_threads, None)?;
    let found = reported(py, progress, |report| search.run(&machine, report))?;
    let found_systems = found.categories.iter().map(|ifs| (ifs.maps(), ifs.probabilities()));
    found_arrays(py, found_systems, found.tried)
}

/// Copies the systems that a search found into arrays.
fn found_arrays<'py, 'a, const N: usize>(
    py: Python<'py>,
    found: impl Iterator<Item = (&'a [[f64; N]], &'a [f64])> + Clone,
    tried: u64,
) -> PyResult<FoundArrays<'py>> {
    let (maps, probabilities, lengths) = systems(py, found)?;
    Ok((maps, probabilities, lengths, tried))
}

/// Returns the sampler of a name.
fn sampler_named(name: &str) -> Result<Sampler, Error> {
    match name {
        "fdsl" => Ok(Sampler::Fdsl),
        "released" => Ok(Sampler::Released),
        _ => Err(Error::Choice { name: "sampler", accepted: "'fdsl' or 'released'", given: name.to_owned() }),
    }
}

/// Told how many categories were found and how many candidates tried; may cancel the search.
type Report<'a> = &'a mut dyn FnMut(usize, u64) -> ControlFlow<PyErr>;

/// Runs a search detached from the interpreter. Each report calls `progress`, which may raise, and
/// checks for Ctrl-C.
fn reported<R: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    search: impl FnOnce(Report<'_>) -> Result<R, Stopped<PyErr>> + Send,
) -> PyResult<R> {
    let run = || {
        search(&mut |found, tried| {
            let told = Python::try_attach(|py| {
                py.check_signals()?; // Ctrl-C
                progress.as_ref().map(|progress| progress.call1(py, (found, tried))).transpose()
            });
            match told {
                Some(Ok(_)) => ControlFlow::Continue(()),
                Some(Err(error)) => ControlFlow::Break(error),
                // The interpreter is shutting down, and this is a daemon thread.
                None => ControlFlow::Break(Error::Interrupted.into()),
            }
        })
    };
    guarded(|| py.detach(run))?.map_err(|stopped| match stopped {
        Stopped::Failed(error) => error.into(),
        Stopped::Canceled(error) => error,
    })
}
