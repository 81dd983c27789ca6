//! The points of systems in three dimensions.

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1};
use pyo3::prelude::*;
use rayon::prelude::*;

use super::{detached, machine, matrix};
use crate::address::{Address, At};
use crate::error::Error;
use crate::family;
use crate::formula::ifs3d::{Ifs3d, Scratch, Style};
use crate::formula::interface::Formula;
use crate::formula::system;
use crate::machine::{Flag, Watch, with_scratch};
use crate::render;
use crate::sample::Sample;

/// Fills `points` (B, N, 3) with the point clouds of B images, each with its own system, category
/// and index. The systems are given as `maps` (n, 12), `probabilities` (n,) and `lengths` (B,).
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(super) fn points3d(
    py: Python<'_>,
    settings: &str,
    maps: PyReadonlyArray2<'_, f64>,
    probabilities: PyReadonlyArray1<'_, f64>,
    lengths: PyReadonlyArray1<'_, i64>,
    categories: PyReadonlyArray1<'_, u64>,
    indices: PyReadonlyArray1<'_, u64>,
    seed: u64,
    num_threads: Option<usize>,
    mut points: PyReadwriteArray1<'_, f32>,
) -> PyResult<()> {
    let (frame, style) = &family::settings::<Style>(settings)?;
    let machine = machine(num_threads, None)?;
    let length = |&length: &i64| usize::try_from(length).map_err(|_| Error::Parameter("lengths"));
    let lengths = lengths.as_slice()?.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let systems = system::split(matrix::<12>("maps", &maps)?, probabilities.as_slice()?, &lengths)?;
    let systems = systems
        .into_iter()
        .map(|(maps, probabilities)| Ifs3d::new(maps.to_vec(), probabilities.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    let (categories, indices) = (categories.as_slice()?, indices.as_slice()?);
    if categories.len() != indices.len() {
        Err(Error::Length { name: "indices", expected: categories.len(), given: indices.len() })?;
    }
    let addresses = categories.iter().zip(indices);
    let addresses: Vec<Address> =
        addresses.map(|(&category, &index)| Address { seed, category, index }).collect();
    if addresses.len() != systems.len() {
        Err(Error::Length { name: "lengths", expected: addresses.len(), given: systems.len() })?;
    }
    let count = style.num_points - usize::from(style.compat.is_some());
    let points = points.as_slice_mut()?;
    if points.len() != 3 * systems.len() * count {
        Err(Error::Length { name: "points", expected: 3 * systems.len() * count, given: points.len() })?;
    }
    let fill = |(points, (ifs, &address)): (&mut [[f32; 3]], (&Ifs3d, &Address)), flag: &Flag| {
        if flag.stopped() {
            return;
        }
        let at = At::new(address, frame, Ifs3d::FORMAT, machine.simd, flag);
        let mut image = vec![0; frame.bytes()];
        let mut sample = Sample { image: &mut image, objects: None };
        with_scratch(|scratch: &mut Scratch| {
            render::draw(ifs, at, style, scratch, &mut sample);
            for (to, point) in points.iter_mut().zip(scratch.cloud().points()) {
                *to = point;
            }
        });
    };
    detached(py, |interrupted| {
        let done = machine.install_watched(interrupted, |flag| {
            let (points, _) = points.as_chunks_mut::<3>();
            points
                .par_chunks_exact_mut(count)
                .zip(systems.par_iter().zip(&addresses))
                .with_max_len(1)
                .for_each(|work| fill(work, flag));
        });
        machine.free_large_scratch(style.memory(frame))?;
        done
    })
}
