//! Parts of a picture in the making, for tests.

use numpy::{PyArray1, PyReadonlyArray2, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::rendering::PyRendering;
use super::{detached, guarded, machine};
use crate::canvas::{Canvas, Masks};
use crate::dots::{Bounds, Dots};
use crate::window::Window;

/// Draws given dots (n, 2) without mirroring or cropping, rows from the top, and returns the
/// pixels in a row; masks are random with a key, or fixed.
#[pyfunction]
#[pyo3(signature = (rendering, dots, *, key=None, mask=None, simd=None))]
pub(super) fn draw_dots<'py>(
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
    let pixels = guarded(|| {
        canvas.plot(&dots, Bounds::of(&dots), height, width, rendering.pad, simd);
        let window = Window { top: 0, left: 0, height, width, flip_rows: true, flip_columns: false };
        let mut pixels = vec![0; height * width * rendering.channels()];
        canvas.resolve(window, rendering, masks, simd, &mut pixels);
        pixels
    })?;
    Ok(pixels.to_pyarray(py))
}

/// Panics in one of the core's threads.
#[pyfunction]
pub(super) fn fail(py: Python<'_>) -> PyResult<()> {
    let machine = machine(Some(2), None)?;
    detached(py, |look| machine.install_watched(look, |_| panic!("as it was asked to")))
}
