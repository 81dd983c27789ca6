//! Categories that are generated without a search: contractive systems, and those of released code.

use std::sync::atomic::{AtomicU64, Ordering};

use numpy::PyArray2;
use pyo3::prelude::*;

use super::{SystemArrays, detached, detached_with, machine, rows, systems};
use crate::error::Error;
use crate::formula::contour::released::{Origin, classes};
use crate::formula::contour::segrcdb::released_classes;
use crate::formula::contour::{Atom, Contour, Start};
use crate::formula::ifs::contractive::Contractive;

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
) -> PyResult<SystemArrays<'_>> {
    let sampler = Contractive { seed, min_maps, max_maps, sum: singular_sum };
    let sampled = detached(py, |interrupted| sampler.sample(categories, interrupted))?;
    systems(py, &sampled)
}

/// Returns the classes of SegRCDB's code (categories, 7).
#[pyfunction]
pub(super) fn segrcdb_classes(py: Python<'_>, categories: usize) -> PyResult<Bound<'_, PyArray2<f64>>> {
    rows(py, &detached(py, |_| Ok(released_classes(categories)))?)
}

/// Steps through a run of RCDB's or VisualAtom's code; returns the rows of its categories and
/// their origins (categories, 7). `progress(done, categories)` may raise an exception to stop.
#[pyfunction]
#[pyo3(signature = (family, *, categories, instances, processes, num_threads, progress))]
pub(super) fn released_contours<'py>(
    py: Python<'py>,
    family: &str,
    categories: u64,
    instances: u64,
    processes: u64,
    num_threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<[Bound<'py, PyArray2<f64>>; 2]> {
    let machine = machine(num_threads, None)?;
    let done = AtomicU64::new(0);
    let report = |py: Python<'_>| {
        let call = |progress: &Py<PyAny>| progress.call1(py, (done.load(Ordering::Relaxed), categories));
        progress.as_ref().map(call).transpose().map(|_| ())
    };
    let classes = detached_with(py, report, |interrupted| match family {
        "rcdb" => classes::<Contour>(categories, instances, processes, &machine, &done, interrupted),
        "visualatom" => classes::<Atom>(categories, instances, processes, &machine, &done, interrupted),
        _ => Err(Error::Choice { name: "family", accepted: "rcdb or visualatom", given: family.to_owned() }),
    })?;
    report(py)?;
    let (parameters, origins): (Vec<Vec<f64>>, Vec<[f64; 7]>) = classes
        .into_iter()
        .map(|(row, Origin { seed, skip, start: Start { radius, oval: [x, y], center: [cy, cx] } })| {
            (row, [seed as f64, skip as f64, radius, x, y, cy, cx]) // both far below 2⁵³
        })
        .unzip();
    Ok([PyArray2::from_vec2(py, &parameters)?, rows(py, &origins)?])
}
