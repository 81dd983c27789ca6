//! Categories of every family, ready to render.

use std::any::Any;

use numpy::{
    Element, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray1,
    PyUntypedArray, PyUntypedArrayMethods, ToPyArray,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rayon::prelude::*;

use super::{detached, machine, rows};
use crate::address::Address;
use crate::arrays::{Arrays, Numbers};
use crate::error::Error;
use crate::family::Family;
use crate::formula::BuiltIn;
use crate::formula::ifs::Ifs;
use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::orbit::{self, ORBIT};
use crate::formula::ifs::table::Table;
use crate::formula::interface::Formula;
use crate::label::label;
use crate::machine::{Flag, InterruptCheck, Machine, Watch, with_scratch};
use crate::order;
use crate::points::Points;
use crate::sample::{SampleObjects, Samples};

/// The categories of a data set, all of one family.
#[pyclass(frozen, module = "fdsl._core")]
pub(super) struct Categories(Box<dyn Family>);

/// Created from the name of a family and its parameters, a dictionary of arrays.
#[pymethods]
impl Categories {
    #[new]
    fn new(py: Python<'_>, name: &str, parameters: &Bound<'_, PyDict>) -> PyResult<Self> {
        let parameters = arrays(parameters)?;
        Ok(Self(detached(py, |_| BuiltIn::named(name)?.make(&parameters))?))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// The number of instances after which a category repeats its variations.
    #[getter]
    fn period(&self) -> u64 {
        self.0.period()
    }

    /// Whether its images can be parts of other images.
    #[getter]
    fn can_be_part(&self) -> bool {
        self.0.can_be_part()
    }

    /// The version of the family's format.
    #[getter]
    fn format(&self) -> u64 {
        self.0.format()
    }

    /// Renders the samples at (categories, indices) into `images`, and writes the number of times
    /// each was re-rendered to `retries`. With `objects`, also writes the object maps there and
    /// returns the categories of each sample's objects; otherwise returns None.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (settings, categories, indices, seed, num_threads, images, retries, objects=None, simd=None))]
    fn render<'py>(
        &self,
        py: Python<'py>,
        settings: &str,
        categories: PyReadonlyArray1<'_, u64>,
        indices: PyReadonlyArray1<'_, u64>,
        seed: u64,
        num_threads: Option<usize>,
        mut images: PyReadwriteArray1<'_, u8>,
        mut retries: PyReadwriteArray1<'_, u8>,
        mut objects: Option<PyReadwriteArray1<'_, u16>>,
        simd: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let machine = machine(num_threads, simd)?;
        let (categories, indices) = (categories.as_slice()?, indices.as_slice()?);
        if indices.len() != categories.len() {
            Err(Error::Length { name: "indices", expected: categories.len(), given: indices.len() })?;
        }
        let addresses: Vec<(u64, u64)> = categories.iter().copied().zip(indices.iter().copied()).collect();
        let (images, retries) = (images.as_slice_mut()?, retries.as_slice_mut()?);
        let mut object_categories = vec![vec![]; addresses.len()];
        let maps = objects.as_mut().map(|maps| maps.as_slice_mut()).transpose()?;
        let with_objects = maps.is_some();
        let objects = maps.map(|maps| SampleObjects { maps, categories: &mut object_categories });
        let samples = Samples { images, retries, objects };
        detached(py, |interrupted| {
            self.0.render(&addresses, seed, settings, &machine, interrupted, samples)
        })?;
        if with_objects { Ok(Some(PyList::new(py, object_categories)?)) } else { Ok(None) }
    }

    /// Renders the given sample numbers of the stream `seed` into `images` and returns their labels.
    #[allow(clippy::too_many_arguments)]
    fn batch<'py>(
        &self,
        py: Python<'py>,
        settings: &str,
        numbers: PyReadonlyArray1<'_, u64>,
        instances: Option<u64>,
        label_noise: f64,
        seed: u64,
        num_threads: Option<usize>,
        mut images: PyReadwriteArray1<'_, u8>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let machine = machine(num_threads, None)?;
        if instances == Some(0) {
            Err(Error::Zero("instances"))?;
        }
        let (numbers, images) = (numbers.as_slice()?, images.as_slice_mut()?);
        let labels = detached(py, |interrupted| {
            let (count, period) = (self.0.len() as u64, self.0.period());
            let address = |&n: &u64| order::sample(n, count, instances, period, seed);
            let addresses: Vec<(u64, u64)> = numbers.iter().map(address).collect();
            let retries = &mut vec![0; addresses.len()];
            let samples = Samples { images, retries, objects: None };
            self.0.render(&addresses, seed, settings, &machine, interrupted, samples)?;
            let label = |(category, index)| label(Address { seed, category, index }, count, label_noise);
            Ok(addresses.into_iter().map(|address| label(address) as i64).collect::<Vec<_>>()) // far below 2⁶³
        })?;
        Ok(labels.to_pyarray(py))
    }

    /// Returns the points of one category's orbit, (num_points, 2), without variation; None if it
    /// diverges. For inspection and tests.
    #[pyo3(signature = (category, num_points, seed, simd=None))]
    fn points<'py>(
        &self,
        py: Python<'py>,
        category: usize,
        num_points: usize,
        seed: u64,
        simd: Option<&str>,
    ) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        let simd = machine(None, simd)?.simd;
        Measure { num_points, ..Measure::default() }.checked()?;
        let categories = self.ifs()?;
        let out_of_range = Error::Category { category: category as u64, categories: categories.len() };
        let ifs = categories.get(category).ok_or(out_of_range)?;
        let points = detached(py, |_| {
            let mut points = Points::default();
            let address = Address { seed, category: category as u64, index: 0 };
            let mut table = Table::default();
            table.build(ifs.maps(), ifs.probabilities());
            let mut rng = address.rng(Ifs::FORMAT, ORBIT, 0);
            let played = orbit::play(&table, &mut rng, num_points, simd, &mut points);
            Ok(played.map(|_| points.x.iter().zip(&points.y).map(|(&x, &y)| [x, y]).collect::<Vec<_>>()))
        })?;
        points.map(|points| rows(py, &points)).transpose()
    }

    /// Returns the filling rate of each category, without variation.
    #[pyo3(signature = (size, num_points, margin, seed, num_threads=None))]
    fn fill_rates<'py>(
        &self,
        py: Python<'py>,
        size: usize,
        num_points: usize,
        margin: usize,
        seed: u64,
        num_threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let measure = Measure { size, num_points, margin }.checked()?;
        let categories = self.ifs()?;
        let machine = machine(num_threads, None)?;
        let rates = detached(py, |interrupted| fill_rates(categories, measure, seed, machine, interrupted))?;
        Ok(rates.to_pyarray(py))
    }
}

impl Categories {
    fn ifs(&self) -> PyResult<&[Ifs]> {
        let family: &dyn Any = &*self.0;
        let categories = family.downcast_ref::<Vec<Ifs>>().map(Vec::as_slice);
        categories.ok_or_else(|| {
            PyTypeError::new_err(format!("{} has neither orbits nor filling rates", self.0.name()))
        })
    }
}

fn fill_rates(
    categories: &[Ifs],
    measure: Measure,
    seed: u64,
    machine: Machine,
    interrupted: InterruptCheck<'_>,
) -> Result<Vec<f64>, Error> {
    let rate = |(category, ifs): (usize, &Ifs), flag: &Flag| {
        if flag.stopped() {
            return 0.0;
        }
        let address = Address { seed, category: category as u64, index: 0 };
        let mut rng = address.rng(Ifs::FORMAT, ORBIT, 0);
        with_scratch(|scratch| measure.fill_rate(ifs, &mut rng, machine.simd, scratch))
    };
    let rates = machine.install_watched(interrupted, |flag| {
        let categories = categories.par_iter().enumerate().with_max_len(1);
        categories.map(|category| rate(category, flag)).collect()
    });
    machine.free_large_scratch(measure.memory())?;
    rates
}

/// Copies a dictionary of float64, int64 and uint64 arrays, and strings.
fn arrays(parameters: &Bound<'_, PyDict>) -> PyResult<Arrays> {
    let mut arrays = Arrays::default();
    for (name, array) in parameters {
        let name: String = name.extract()?;
        let numbers = if let Some(numbers) = numbers::<f64>(&array)? {
            Numbers::F64(numbers)
        } else if let Some(numbers) = numbers::<i64>(&array)? {
            Numbers::I64(numbers)
        } else if let Some(numbers) = numbers::<u64>(&array)? {
            Numbers::U64(numbers)
        } else if let Ok(text) = array.extract::<String>() {
            arrays.insert(name, vec![], Numbers::Text(text));
            continue;
        } else {
            let message = format!("{name} must be an array of float64, int64 or uint64, or a string");
            return Err(PyTypeError::new_err(message));
        };
        let shape = array.cast::<PyUntypedArray>()?.shape().to_vec();
        arrays.insert(name, shape, numbers);
    }
    Ok(arrays)
}

fn numbers<T: Element + Copy>(array: &Bound<'_, PyAny>) -> PyResult<Option<Vec<T>>> {
    let Ok(array) = array.cast::<PyArrayDyn<T>>() else { return Ok(None) };
    // `as_array` does not check this, and reading it would be undefined behavior.
    let array = if array.is_aligned() { array.clone() } else { array.call_method0("copy")?.cast_into()? };
    Ok(Some(array.try_readonly()?.as_array().iter().copied().collect()))
}
