//! Categories of every family, ready to draw.

use numpy::ndarray::ArrayView1;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, ToPyArray};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use rayon::prelude::*;

use super::rendering::PyRendering;
use super::{detached, machine};
use crate::address::{Address, Purpose};
use crate::dots::Dots;
use crate::error::Error;
use crate::formula::bezier::Bezier;
use crate::formula::ifs::measure::Measure;
use crate::formula::ifs::orbit;
use crate::formula::ifs::table::Table;
use crate::formula::ifs::{Ifs, Map};
use crate::formula::perlin::Perlin;
use crate::machine::{Flag, Watch, with_scratch};
use crate::render::render_watched;
use crate::rendering::Rendering;

/// The categories of a data set, all of one family.
#[pyclass(frozen, module = "fdsl._core")]
pub(super) struct Categories(Family);

enum Family {
    Ifs(Vec<Ifs>),
    Perlin(Vec<Perlin>),
    Bezier(Vec<Bezier>),
}

impl Family {
    fn ifs(&self) -> PyResult<&[Ifs]> {
        match self {
            Family::Ifs(categories) => Ok(categories),
            _ => Err(PyTypeError::new_err("these categories have neither dots nor filling rates")),
        }
    }
}

#[pymethods]
impl Categories {
    /// `maps` (n, 6) and `probabilities` (n,) of all categories one after the other;
    /// `lengths` (categories,) says how many maps each has.
    #[staticmethod]
    fn ifs(
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
        Ok(Self(Family::Ifs(categories)))
    }

    /// `frequencies` (categories, 2): lattice cells across and down.
    #[staticmethod]
    fn perlin(
        frequencies: PyReadonlyArray2<'_, f64>,
        octaves: usize,
        persistence: f64,
        contrast: f64,
    ) -> PyResult<Self> {
        let pairs = frequencies.as_array();
        let new = |pair: ArrayView1<'_, f64>| Perlin::new([pair[0], pair[1]], octaves, persistence, contrast);
        let categories: Result<_, Error> = pairs.rows().into_iter().map(new).collect();
        Ok(Self(Family::Perlin(categories?)))
    }

    /// `counts` (categories, 2): control points a curve, and curves.
    #[staticmethod]
    fn bezier(counts: PyReadonlyArray2<'_, u64>) -> PyResult<Self> {
        let counts = counts.as_array();
        let pairs: Vec<[u64; 2]> = counts.rows().into_iter().map(|pair| [pair[0], pair[1]]).collect();
        Ok(Self(Family::Bezier(Bezier::family(&pairs)?)))
    }

    fn __len__(&self) -> usize {
        match &self.0 {
            Family::Ifs(categories) => categories.len(),
            Family::Perlin(categories) => categories.len(),
            Family::Bezier(categories) => categories.len(),
        }
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
        detached(py, |look| match &self.0 {
            Family::Ifs(c) => render_watched(c, &places, seed, rendering, &machine, look, pixels, redraws),
            Family::Perlin(c) => render_watched(c, &places, seed, rendering, &machine, look, pixels, redraws),
            Family::Bezier(c) => render_watched(c, &places, seed, rendering, &machine, look, pixels, redraws),
        })
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
        let categories = self.0.ifs()?;
        let out_of_range = Error::Category { category: category as u64, categories: categories.len() };
        let ifs = categories.get(category).ok_or(out_of_range)?;
        let mut dots = Dots::default();
        let played = detached(py, |_| {
            let mut rng = Address { seed, category: category as u64, index: 0 }.rng(Purpose::Orbit, 0);
            let mut table = Table::default();
            table.lay(ifs.maps(), ifs.probabilities());
            Ok(orbit::play(&table, &mut rng, points, simd, &mut dots))
        })?;
        if played.is_none() {
            return Ok(None);
        }
        let pairs: Vec<Vec<f32>> = dots.x.iter().zip(&dots.y).map(|(&x, &y)| vec![x, y]).collect();
        Ok(Some(PyArray2::from_vec2(py, &pairs)?))
    }

    /// Returns the filling rate of each category, unscaled.
    #[pyo3(signature = (size, points, pad, seed, threads=None))]
    fn fill_rates<'py>(
        &self,
        py: Python<'py>,
        size: usize,
        points: usize,
        pad: usize,
        seed: u64,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let measure = Measure { size, points, pad }.checked()?;
        let categories = self.0.ifs()?;
        let machine = machine(threads, None)?;
        let rate = |(category, ifs): (usize, &Ifs), flag: &Flag| {
            if flag.stopped() {
                return 0.0;
            }
            let address = Address { seed, category: category as u64, index: 0 };
            let mut rng = address.rng(Purpose::Orbit, 0);
            with_scratch(machine.simd, |scratch| measure.fill_rate(ifs, &mut rng, scratch))
        };
        let rates: Vec<f64> = detached(py, |look| {
            machine.install_watched(look, |flag| {
                let categories = categories.par_iter().enumerate().with_max_len(1);
                categories.map(|category| rate(category, flag)).collect()
            })
        })?;
        Ok(rates.to_pyarray(py))
    }
}
