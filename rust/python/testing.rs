//! Parts of the core, exposed for tests.

use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, ToPyArray};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{detached, guarded, machine, matrix, rows};
use crate::address::{Address, At};
use crate::error::Error;
use crate::family;
use crate::formula::diamond_square::{Colors, Heights, Over};
use crate::formula::ifs::released::Replay;
use crate::formula::ifs::{Draw, Ifs, Style};
use crate::formula::ifs3d::camera::Camera;
use crate::formula::ifs3d::draw::draw_given;
use crate::formula::ifs3d::{self, Ifs3d};
use crate::formula::interface::Formula;
use crate::frame::{Frame, Window};
use crate::machine::Flag;
use crate::points::{Bounds, Points};
use crate::surface::{Density, LastPoint, Mark, Masks, Tone, hsv};

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
    check_points(&points)?;
    let masks = key.map_or(Masks::Fixed(mask.unwrap_or(511)), Masks::Random);
    let mark = if style.draw == Draw::Point { Mark::Pixel } else { Mark::Patch(masks) };
    let (x, y) = points.as_array().rows().into_iter().map(|point| (point[0], point[1])).unzip();
    let points = Points { x, y };
    let Frame { height, width, color, .. } = frame;
    let mut pixels = vec![0; height * width * frame.channels()];
    guarded(|| {
        let mut surface = LastPoint::default();
        surface.plot(&points, Bounds::of(&points), height, width, style.margin, simd);
        let window = Window { flip_rows: true, ..Window::whole(height, width) };
        surface.resolve(window, mark, color, simd, &mut pixels);
    })?;
    Ok(pixels.to_pyarray(py))
}

/// Counts the given points (n, 2) on `size`×`size` pixels, each with a mask added, and returns the
/// pixels as a flat array, top row first: lit, gray, and in color with a hue shift, a saturation and
/// a value.
#[pyfunction]
#[pyo3(signature = (points, size, mask, hue_shift, saturation, value, simd=None))]
#[allow(clippy::too_many_arguments)]
pub(super) fn draw_density<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'_, f32>,
    size: usize,
    mask: u32,
    hue_shift: f64,
    saturation: u8,
    value: u8,
    simd: Option<&str>,
) -> PyResult<[Bound<'py, PyArray1<u8>>; 3]> {
    let simd = machine(None, simd)?.simd;
    check_points(&points)?;
    let (x, y) = points.as_array().rows().into_iter().map(|point| (point[0], point[1])).unzip();
    let points = Points { x, y };
    let window = Window { flip_rows: true, ..Window::whole(size, size) };
    let colors = std::array::from_fn(|hue| hsv(hue as u8, saturation, value));
    let images = guarded(|| {
        let mut density = Density::default();
        let mark = Mark::Patch(Masks::Fixed(mask));
        density.plot(&points, Bounds::of(&points), [size, size], 0, mark, simd);
        [Tone::Lit, Tone::Gray, Tone::Hue { shift: hue_shift, colors: &colors }].map(|tone| {
            let color = matches!(tone, Tone::Hue { .. });
            let mut pixels = vec![0; size * size * if color { 3 } else { 1 }];
            density.show(window, tone, color, simd, &mut pixels);
            pixels
        })
    })?;
    Ok(images.map(|pixels| pixels.to_pyarray(py)))
}

fn check_points(points: &PyReadonlyArray2<'_, f32>) -> PyResult<()> {
    let points = points.as_array();
    if points.ncols() == 2 && points.iter().all(|v| v.is_finite()) {
        Ok(())
    } else {
        Err(PyValueError::new_err("points must be finite, (n, 2)"))
    }
}

/// Draws diamond–square heights from the given numbers in [0, 1), and returns those of `size`×`size`
/// pixels, top row first, and their colors: factor and offset of hue, saturation and value.
#[pyfunction]
#[allow(clippy::type_complexity)] // two arrays
pub(super) fn diamond_square<'py>(
    py: Python<'py>,
    size: usize,
    decay: f64,
    draws: Vec<f64>,
    colors: [[f32; 2]; 3],
) -> PyResult<(Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<u8>>)> {
    let simd = machine(None, None)?.simd;
    let window = Window::whole(size, size);
    let [hue, saturation, value] = colors;
    let (rows, pixels) = guarded(|| {
        let mut pixels = vec![0; 3 * size * size];
        let (mut heights, mut draws) = (Heights::default(), draws.into_iter());
        heights.fill(size, decay, || draws.next().expect("enough draws"), || false);
        heights.show(window, Colors { hue, saturation, value }, true, Over::Everything, simd, &mut pixels);
        (heights.rows(size).flatten().copied().collect::<Vec<f32>>(), pixels)
    })?;
    Ok((rows.to_pyarray(py), pixels.to_pyarray(py)))
}

/// Renders a system in gray as the released code does, with the given mask for each point: masks of
/// a program that draws other random numbers before them. Returns the pixels as a flat array.
#[pyfunction]
pub(super) fn released_patches<'py>(
    py: Python<'py>,
    maps: PyReadonlyArray2<'_, f64>,
    probabilities: Vec<f64>,
    size: usize,
    masks: Vec<u16>,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let maps = matrix::<6>("maps", &maps)?.to_vec();
    let ifs = Ifs::new(maps, probabilities)?;
    let frame = Frame { height: size, width: size, ..Frame::default() }.checked()?;
    let style = Style { num_points: masks.len(), ..Style::default() };
    let simd = machine(None, None)?.simd;
    let mut pixels = vec![0; size * size];
    guarded(|| {
        let mut surface = LastPoint::default();
        Replay::default().plot_for_masks(&ifs, &frame, &style, simd, &mut surface);
        let window = Window { flip_rows: true, ..Window::whole(size, size) };
        surface.resolve(window, Mark::Patch(Masks::Listed(&masks)), false, simd, &mut pixels);
    })?;
    Ok(pixels.to_pyarray(py))
}

/// Renders one view of a system with the weight row, the seed of the orbit and the camera given, into an
/// image that is neither flipped nor cropped, and returns the points (N, 3), or `None` if the orbit escapes.
/// `orbit_seed` seeds NumPy's generator (32 bits) if the settings replay the released code, and this
/// library's otherwise. The camera is `view` of the fixed ones, turned by `turn` degrees.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
#[pyo3(signature = (settings, maps, probabilities, weight_row, orbit_seed, view, turn, image, simd=None))]
pub(super) fn draw_view<'py>(
    py: Python<'py>,
    settings: &str,
    maps: PyReadonlyArray2<'_, f64>,
    probabilities: PyReadonlyArray1<'_, f64>,
    weight_row: u64,
    orbit_seed: u64,
    view: u64,
    turn: f64,
    mut image: PyReadwriteArray1<'_, u8>,
    simd: Option<&str>,
) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
    let (frame, style) = family::settings::<ifs3d::Style>(settings)?;
    let ifs = Ifs3d::new(matrix::<12>("maps", &maps)?.to_vec(), probabilities.as_slice()?.to_vec())?;
    let address = Address { seed: 0, category: 0, index: 0 };
    let flag = Flag::default();
    let at = At::new(address, &frame, Ifs3d::FORMAT, machine(None, simd)?.simd, &flag);
    let image = image.as_slice_mut()?;
    if image.len() != frame.bytes() {
        Err(Error::Length { name: "image", expected: frame.bytes(), given: image.len() })?;
    }
    let camera = Camera::fixed([(view, turn)]);
    let cloud = guarded(|| draw_given(&ifs, at, &style, weight_row, orbit_seed, camera, image))?;
    cloud.map(|cloud| rows(py, &cloud.points().collect::<Vec<_>>())).transpose()
}

/// Panics in one of the core's threads.
#[pyfunction]
pub(super) fn fail(py: Python<'_>) -> PyResult<()> {
    let machine = machine(Some(2), None)?;
    detached(py, |interrupted| machine.install_watched(interrupted, |_| panic!("requested by a test")))
}
