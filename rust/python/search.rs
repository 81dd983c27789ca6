//! The searches for categories.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;

use super::{detached_with, machine, systems};
use crate::error::Error;
use crate::formula::ifs::measure::Measure;
use crate::formula::system::search::{Found, Progress, Sampler};
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
    found_arrays(py, &found)
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
    found_arrays(py, &found)
}

/// Copies the systems that a search found into arrays.
fn found_arrays<'py, const N: usize>(py: Python<'py>, found: &Found<N>) -> PyResult<FoundArrays<'py>> {
    let (maps, probabilities, lengths) = systems(py, &found.categories)?;
    Ok((maps, probabilities, lengths, found.tried))
}

/// Returns the sampler of a name.
fn sampler_named(name: &str) -> Result<Sampler, Error> {
    match name {
        "fdsl" => Ok(Sampler::Fdsl),
        "released" => Ok(Sampler::Released),
        _ => Err(Error::Choice { name: "sampler", accepted: "'fdsl' or 'released'", given: name.to_owned() }),
    }
}

/// Runs a search detached from the interpreter; `progress(found, tried)` may raise an exception to stop it.
fn reported<R: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    search: impl FnOnce(Progress<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    let (found, tried) = (AtomicUsize::new(0), AtomicU64::new(0));
    let report = |py: Python<'_>| {
        let counts = (found.load(Ordering::Relaxed), tried.load(Ordering::Relaxed));
        progress.as_ref().map(|progress| progress.call1(py, counts)).transpose().map(|_| ())
    };
    detached_with(py, report, |interrupted| {
        search(&mut |found_now, tried_now| {
            found.store(found_now, Ordering::Relaxed);
            tried.store(tried_now, Ordering::Relaxed);
            interrupted()
        })
    })
}
