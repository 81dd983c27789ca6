//! The search for categories.

use std::ops::ControlFlow;

use numpy::{PyArray1, PyArray2, PyArrayMethods, ToPyArray};
use pyo3::prelude::*;

use super::{detached, guarded, machine};
use crate::error::Error;
use crate::formula::contour::released::{Origin, classes};
use crate::formula::contour::rings::Start;
use crate::formula::contour::segrcdb::released_classes;
use crate::formula::contour::{Atom, Contour};
use crate::formula::ifs::contractive::Contractive;
use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::search::{Sampler, Search, Stopped};
use crate::formula::ifs::{Ifs, Map};

type CategoryArrays<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>);
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
    let search = Search { categories, fill_rate, seed, min_maps, max_maps, measure, max_tries, sampler };
    let machine = machine(num_threads, None)?;
    let found = reported(py, progress, |report| search.run(&machine, report))?;
    let (maps, probabilities, lengths) = arrays(py, &found.categories)?;
    Ok((maps, probabilities, lengths, found.tried))
}

/// Returns the sampler of a name.
pub(super) fn sampler_named(name: &str) -> Result<Sampler, Error> {
    match name {
        "fdsl" => Ok(Sampler::Fdsl),
        "released" => Ok(Sampler::Released),
        _ => Err(Error::Choice { name: "sampler", accepted: "'fdsl' or 'released'", given: name.to_owned() }),
    }
}

/// Told how many categories were found and how many candidates tried; may cancel the search.
pub(super) type Report<'a> = &'a mut dyn FnMut(usize, u64) -> ControlFlow<PyErr>;

/// Runs a search detached from the interpreter. Each report calls `progress`, which may raise, and
/// checks for Ctrl-C.
pub(super) fn reported<R: Send>(
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

/// Samples contractive systems; returns maps (n, 6), probabilities (n,) and lengths (categories,).
#[pyfunction]
#[pyo3(signature = (*, categories, seed, min_maps, max_maps, singular_sum))]
pub(super) fn sample_contractive(
    py: Python<'_>,
    categories: usize,
    seed: u64,
    min_maps: usize,
    max_maps: usize,
    singular_sum: Option<[f64; 2]>,
) -> PyResult<CategoryArrays<'_>> {
    let sampler = Contractive { seed, min_maps, max_maps, sum: singular_sum };
    let sampled = guarded(|| py.detach(|| sampler.sample(categories)))??;
    arrays(py, &sampled)
}

/// Copies categories into flat arrays, one category after the other.
fn arrays<'py>(py: Python<'py>, categories: &[Ifs]) -> PyResult<CategoryArrays<'py>> {
    let maps: Vec<Map> = categories.iter().flat_map(Ifs::maps).copied().collect();
    let probabilities: Vec<f64> = categories.iter().flat_map(Ifs::probabilities).copied().collect();
    let lengths: Vec<i64> = categories.iter().map(|ifs| ifs.maps().len() as i64).collect();
    let maps = maps.as_flattened().to_pyarray(py).reshape([maps.len(), 6])?;
    Ok((maps, probabilities.to_pyarray(py), lengths.to_pyarray(py)))
}

/// Returns the classes of SegRCDB's code (categories, 7).
#[pyfunction]
pub(super) fn segrcdb_classes(py: Python<'_>, categories: usize) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let rows = released_classes(categories);
    rows.as_flattened().to_pyarray(py).reshape([rows.len(), 7])
}

/// Steps through a run of RCDB's or VisualAtom's code; returns the rows of its categories and
/// their origins (categories, 7).
#[pyfunction]
#[pyo3(signature = (family, *, categories, instances, processes, num_threads))]
pub(super) fn released_contours<'py>(
    py: Python<'py>,
    family: &str,
    categories: u64,
    instances: u64,
    processes: u64,
    num_threads: Option<usize>,
) -> PyResult<[Bound<'py, PyArray2<f64>>; 2]> {
    let machine = machine(num_threads, None)?;
    let classes = detached(py, |interrupted| match family {
        "rcdb" => classes::<Contour>(categories, instances, processes, &machine, interrupted),
        "visualatom" => classes::<Atom>(categories, instances, processes, &machine, interrupted),
        _ => Err(Error::Choice { name: "family", accepted: "rcdb or visualatom", given: family.to_owned() }),
    })?;
    let (rows, origins): (Vec<Vec<f64>>, Vec<Vec<f64>>) = classes
        .into_iter()
        .map(|(row, Origin { seed, skip, start: Start { radius, oval: [x, y], center: [cy, cx] } })| {
            (row, vec![seed as f64, skip as f64, radius, x, y, cy, cx]) // both far below 2⁵³
        })
        .unzip();
    Ok([PyArray2::from_vec2(py, &rows)?, PyArray2::from_vec2(py, &origins)?])
}
