//! Parts of the core, exposed for tests.

use numpy::{PyArray1, PyReadonlyArray2, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{detached, guarded, machine};
use crate::family;
use crate::formula::ifs::released::Replay;
use crate::formula::ifs::{Draw, Ifs, Style};
use crate::frame::{Frame, Window};
use crate::points::{Bounds, Points};
use crate::surface::{LastPoint, Mark, Masks};

/// Renders the given points (n, 2) with the settings of an IFS, neither flipped nor cropped, and
/// returns the pixels as a flat array, top row first. The masks are random with `key`, or all `mask`.
#[pyfunction]
#[pyo3(signature = (settings, points, *, key=None, mask=None, simd=None))]
pub(super) fn draw_points<'py>(
    py: Python<'py>,
    settings: &str,
    points: PyReadonlyArray2<'_, f32>,
    key: Option<u32>,
    mask: Option<u32>,
    simd: Option<&str>,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let simd = machine(None, simd)?.simd;
    let (frame, style) = family::settings::<Style>(settings)?;
    if points.as_array().ncols() != 2 || points.as_array().iter().any(|v| !v.is_finite()) {
        return Err(PyValueError::new_err("points must be finite, (n, 2)"));
    }
    let masks = key.map_or(Masks::Fixed(mask.unwrap_or(511)), Masks::Random);
    let mark = if style.draw == Draw::Point { Mark::Pixel } else { Mark::Patch(masks) };
    let (x, y) = points.as_array().rows().into_iter().map(|point| (point[0], point[1])).unzip();
    let points = Points { x, y };
    let Frame { height, width, color, .. } = frame;
    let mut pixels = vec![0; height * width * frame.channels()];
    guarded(|| {
        let mut surface = LastPoint::default();
        surface.plot(&points, Bounds::of(&points), height, width, style.margin, simd);
        let of = (height, width);
        let window = Window { of, top: 0, left: 0, height, width, flip_rows: true, flip_columns: false };
        surface.resolve(window, mark, color, simd, &mut pixels);
    })?;
    Ok(pixels.to_pyarray(py))
}

/// Renders a system as the released program does, gray, from one mask per point: the masks of a
/// program that draws other random numbers before them. Returns the pixels in a row.
#[pyfunction]
pub(super) fn released_patches<'py>(
    py: Python<'py>,
    maps: PyReadonlyArray2<'_, f64>,
    probabilities: Vec<f64>,
    size: usize,
    masks: Vec<u16>,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let maps = maps.as_slice()?.as_chunks().0.to_vec();
    let ifs = Ifs::new(maps, probabilities)?;
    let frame = Frame { height: size, width: size, ..Frame::default() }.checked()?;
    let style = Style { num_points: masks.len(), ..Style::default() };
    let simd = machine(None, None)?.simd;
    let mut pixels = vec![0; size * size];
    guarded(|| {
        let mut surface = LastPoint::default();
        Replay::default().plot_for_masks(&ifs, &frame, &style, simd, &mut surface);
        let of = (size, size);
        let window =
            Window { of, top: 0, left: 0, height: size, width: size, flip_rows: true, flip_columns: false };
        surface.resolve(window, Mark::Patch(Masks::Listed(&masks)), false, simd, &mut pixels);
    })?;
    Ok(pixels.to_pyarray(py))
}

/// Panics in one of the core's threads.
#[pyfunction]
pub(super) fn fail(py: Python<'_>) -> PyResult<()> {
    let machine = machine(Some(2), None)?;
    detached(py, |interrupted| machine.install_watched(interrupted, |_| panic!("requested by a test")))
}
