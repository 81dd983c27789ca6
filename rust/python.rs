//! The only file that knows Python: borrows arrays, lets go of the interpreter, calls, returns.

use std::ops::ControlFlow;

use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, ToPyArray};
use pyo3::exceptions::{PyIndexError, PyOSError, PyValueError};
use pyo3::prelude::*;
use rayon::prelude::*;

use crate::address::{Address, Purpose};
use crate::canvas::{Canvas, Masks, Window};
use crate::dots::{Bounds, Dots};
use crate::error::Error;
use crate::formula::ifs::orbit;
use crate::formula::ifs::search::{Measure, Search, Stopped};
use crate::formula::ifs::table::Table;
use crate::formula::ifs::{Ifs, Map};
use crate::render::{Machine, with_scratch};
use crate::rendering::{self, Draw, Patch, Rendering, Weights};
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

/// The categories of an IFS data set, ready to draw.
#[pyclass(frozen, module = "fdsl._core")]
struct IfsCategories(Vec<Ifs>);

#[pymethods]
impl IfsCategories {
    /// `maps` (n, 6) and `probabilities` (n,) of all categories one after the other;
    /// `lengths` (categories,) says how many maps each has.
    #[new]
    fn new(
        maps: PyReadonlyArray2<'_, f64>,
        probabilities: PyReadonlyArray1<'_, f64>,
        lengths: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let (maps, probabilities) = (maps.as_array(), probabilities.as_array());
        let add = |sum: usize, &length: &i64| sum.checked_add(usize::try_from(length).ok()?);
        let total = lengths.as_array().iter().try_fold(0, add);
        if maps.ncols() != 6 || probabilities.len() != maps.nrows() || total != Some(maps.nrows()) {
            let message = "maps (n, 6), probabilities (n,) and lengths (categories,) do not match";
            return Err(PyValueError::new_err(message));
        }
        let mut rows = maps.rows().into_iter().zip(probabilities);
        let mut categories = Vec::with_capacity(lengths.len()?);
        for (category, &length) in lengths.as_array().iter().enumerate() {
            let (maps, probabilities): (Vec<Map>, Vec<f64>) = rows
                .by_ref()
                .take(length as usize)
                .map(|(row, &p)| (std::array::from_fn(|i| row[i]), p))
                .unzip();
            let ifs = Ifs::new(maps, probabilities)
                .map_err(|error| PyValueError::new_err(format!("category {category}: {error}")))?;
            categories.push(ifs);
        }
        Ok(Self(categories))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Draws the pictures at (categories, indices) one after the other into `pixels`, and
    /// how often each was drawn again into `redraws`.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (rendering, categories, indices, seed, threads, pixels, redraws, simd=None))]
    fn render(
        &self,
        py: Python<'_>,
        rendering: &PyRendering,
        categories: PyReadonlyArray1<'_, u64>,
        indices: PyReadonlyArray1<'_, u64>,
        seed: u64,
        threads: Option<usize>,
        mut pixels: PyReadwriteArray1<'_, u8>,
        mut redraws: PyReadwriteArray1<'_, u8>,
        simd: Option<&str>,
    ) -> PyResult<()> {
        let machine = machine(threads, simd)?;
        let rendering = &rendering.0;
        let places: Vec<(u64, u64)> =
            categories.as_array().iter().copied().zip(indices.as_array().iter().copied()).collect();
        let (pixels, redraws) = (pixels.as_slice_mut()?, redraws.as_slice_mut()?);
        let expected = places.len() * rendering.bytes();
        if pixels.len() != expected {
            Err(Error::Buffer { expected, given: pixels.len() })?;
        }
        if redraws.len() != places.len() || indices.len()? != categories.len()? {
            Err(Error::Buffer { expected: places.len(), given: redraws.len() })?;
        }
        // About a second of one core between two looks for Ctrl-C.
        let work = rendering.points + rendering.height * rendering.width;
        let between_looks = ((1 << 29) / work).clamp(1, 1024);
        let chunks = places
            .chunks(between_looks)
            .zip(pixels.chunks_mut(between_looks * rendering.bytes()))
            .zip(redraws.chunks_mut(between_looks));
        for ((places, pixels), redraws) in chunks {
            py.detach(|| crate::render(&self.0, places, seed, rendering, &machine, pixels, redraws))?;
            py.check_signals()?;
        }
        Ok(())
    }

    /// Returns the dots of one unscaled category, (points, 2); `None` if an orbit escaped.
    /// For looking at, and for tests.
    #[pyo3(signature = (category, points, seed, simd=None))]
    fn dots<'py>(
        &self,
        py: Python<'py>,
        category: usize,
        points: usize,
        seed: u64,
        simd: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let simd = machine(None, simd)?.simd;
        Rendering { points, ..Default::default() }.checked()?;
        let out_of_range = Error::Category { category: category as u64, categories: self.0.len() };
        let ifs = self.0.get(category).ok_or(out_of_range)?;
        let mut rng = Address { seed, category: category as u64, index: 0 }.rng(Purpose::Orbit, 0);
        let mut dots = Dots::default();
        let table = Table::new(ifs.maps(), ifs.probabilities());
        if orbit::play(&table, &mut rng, points, simd, &mut dots).is_none() {
            return Ok(None);
        }
        let pairs: Vec<Vec<f32>> = dots.x.iter().zip(&dots.y).map(|(&x, &y)| vec![x, y]).collect();
        Ok(Some(PyArray2::from_vec2(py, &pairs)?))
    }

    /// Returns the filling rate of each category, unscaled.
    fn fill_rates<'py>(
        &self,
        py: Python<'py>,
        size: usize,
        points: usize,
        pad: usize,
        seed: u64,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let measure = Measure { size, points, pad }.checked()?;
        let machine = machine(None, None)?;
        let rate = |(category, ifs): (usize, &Ifs)| {
            let address = Address { seed, category: category as u64, index: 0 };
            let mut rng = address.rng(Purpose::Orbit, 0);
            with_scratch(machine.simd, |scratch| measure.fill_rate(ifs, &mut rng, scratch))
        };
        let rates: Vec<f64> =
            py.detach(|| machine.install(|| self.0.par_iter().enumerate().map(rate).collect()))?;
        Ok(rates.to_pyarray(py))
    }
}

/// Settings, checked once; `fdsl.Rendering` holds one.
#[pyclass(frozen, module = "fdsl._core", name = "Rendering")]
struct PyRendering(Rendering);

#[pymethods]
impl PyRendering {
    #[new]
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (*, size, points, draw, patch, color, weights, pad, crop, crop_position, variation, flips, redraw))]
    fn new(
        size: (usize, usize),
        points: usize,
        draw: &str,
        patch: &str,
        color: bool,
        weights: Option<f64>,
        pad: usize,
        crop: Option<(usize, usize)>,
        crop_position: &str,
        variation: &str,
        flips: bool,
        redraw: bool,
    ) -> PyResult<Self> {
        let patch = choice(
            "patch",
            patch,
            "'random' or 'fixed'",
            [("random", Patch::Random), ("fixed", Patch::Fixed)],
        )?;
        let draw = choice(
            "draw",
            draw,
            "'patch' or 'point'",
            [("patch", Draw::Patch(patch)), ("point", Draw::Point)],
        )?;
        let random = choice(
            "crop_position",
            crop_position,
            "'random' or 'center'",
            [("random", true), ("center", false)],
        )?;
        let grid = choice(
            "variation",
            variation,
            "'grid' or 'continuous'",
            [("grid", true), ("continuous", false)],
        )?;
        let weights = match weights {
            None => Weights::Identity,
            Some(w) if grid => Weights::Grid(w),
            Some(w) => Weights::Continuous(w),
        };
        let crop = crop.map(|(height, width)| rendering::Crop { height, width, random });
        let (height, width) = size;
        let rendering = Rendering { height, width, points, draw, color, weights, pad, crop, flips, redraw };
        Ok(Self(rendering.checked()?))
    }
}

/// Draws given dots (n, 2) without mirroring or cropping, rows from the top, and returns the
/// pixels in a row; masks are random with a key, or fixed. For tests.
#[pyfunction]
#[pyo3(signature = (rendering, dots, *, key=None, mask=None, simd=None))]
fn draw_dots<'py>(
    py: Python<'py>,
    rendering: &PyRendering,
    dots: PyReadonlyArray2<'py, f32>,
    key: Option<u32>,
    mask: Option<u32>,
    simd: Option<&str>,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let simd = machine(None, simd)?.simd;
    let rendering = &rendering.0;
    if dots.as_array().ncols() != 2 || dots.as_array().iter().any(|v| !v.is_finite()) {
        return Err(PyValueError::new_err("dots must be finite, (n, 2)"));
    }
    let masks = key.map_or(Masks::Fixed(mask.unwrap_or(511)), Masks::Random);
    let (x, y) = dots.as_array().rows().into_iter().map(|dot| (dot[0], dot[1])).unzip();
    let dots = Dots { x, y };
    let (height, width) = (rendering.height, rendering.width);
    let mut canvas = Canvas::default();
    canvas.plot(&dots, Bounds::of(&dots), height, width, rendering.pad, simd);
    let window = Window { top: 0, left: 0, height, width, flip_rows: true, flip_columns: false };
    let mut pixels = vec![0; height * width * rendering.channels()];
    canvas.resolve(window, rendering, masks, simd, &mut pixels);
    Ok(pixels.to_pyarray(py))
}

fn choice<T: Copy>(
    name: &'static str,
    given: &str,
    accepted: &'static str,
    options: [(&str, T); 2],
) -> Result<T, Error> {
    let found = options.iter().find(|(option, _)| *option == given);
    found.map(|&(_, value)| value).ok_or_else(|| Error::Choice { name, accepted, given: given.to_owned() })
}

fn machine(threads: Option<usize>, simd: Option<&str>) -> Result<Machine, Error> {
    Ok(match simd {
        Some(name) => Machine { threads, simd: Simd::named(name)? },
        None => Machine::new(threads)?,
    })
}

type FoundArrays<'py> =
    (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<i64>>, u64);

/// Searches for categories; returns maps (n, 6), probabilities (n,), lengths (categories,)
/// and the number of candidates tried. `progress(found, tried)` may raise to stop it.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (*, categories, fill_rate, seed, min_maps, max_maps, size, points, pad, max_tries, threads, progress))]
fn search<'py>(
    py: Python<'py>,
    categories: usize,
    fill_rate: f64,
    seed: u64,
    min_maps: usize,
    max_maps: usize,
    size: usize,
    points: usize,
    pad: usize,
    max_tries: u64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<FoundArrays<'py>> {
    let measure = Measure { size, points, pad };
    let search = Search { categories, fill_rate, seed, min_maps, max_maps, measure, max_tries };
    let machine = machine(threads, None)?;
    let report = |found: usize, tried: u64| {
        let told = Python::attach(|py| {
            py.check_signals()?; // Ctrl-C
            progress.as_ref().map(|progress| progress.call1(py, (found, tried))).transpose()
        });
        told.map_or_else(ControlFlow::Break, |_| ControlFlow::Continue(()))
    };
    let found = py.detach(|| search.run(&machine, report)).map_err(|stopped| match stopped {
        Stopped::Failed(error) => error.into(),
        Stopped::Broken(error) => error,
    })?;
    let maps: Vec<Map> = found.categories.iter().flat_map(Ifs::maps).copied().collect();
    let probabilities: Vec<f64> = found.categories.iter().flat_map(Ifs::probabilities).copied().collect();
    let lengths: Vec<i64> = found.categories.iter().map(|ifs| ifs.maps().len() as i64).collect();
    let maps = PyArray2::from_vec2(py, &maps.iter().map(|map| map.to_vec()).collect::<Vec<_>>())?;
    Ok((maps, probabilities.to_pyarray(py), lengths.to_pyarray(py), found.tried))
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
    use super::{IfsCategories, PyRendering, cores, draw_dots, search, simd_paths, stream_order};
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("FORMAT", crate::address::FORMAT)
    }
}
