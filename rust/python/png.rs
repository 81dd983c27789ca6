//! PNG encoding.

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rayon::prelude::*;

use super::{detached, machine};
use crate::error::Error;
use crate::machine::Watch;

/// Encodes images stored one after the other, each of `size` (height, width) with `channels` bytes per
/// pixel. Returns one file per image.
#[pyfunction]
#[pyo3(signature = (pixels, size, channels, num_threads))]
pub(super) fn encode_png<'py>(
    py: Python<'py>,
    pixels: PyReadonlyArray1<'py, u8>,
    size: (usize, usize),
    channels: usize,
    num_threads: Option<usize>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let pixels = pixels.as_slice()?;
    let (height, width) = size;
    Error::unless(matches!(channels, 1 | 3), "channels", "1 or 3", channels as f64)?;
    let bytes = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels)).unwrap_or(0);
    if bytes == 0 || pixels.len() % bytes != 0 {
        Err(Error::Length { name: "pixels", expected: bytes, given: pixels.len() })?;
    }
    let machine = machine(num_threads, None)?;
    // Copied, because the encoding of a large image takes seconds and cannot be stopped: after Ctrl-C
    // it goes on in the background.
    let mut copy = vec![];
    copy.try_reserve_exact(pixels.len()).map_err(|_| {
        PyMemoryError::new_err(format!("there is no memory for a copy of {} bytes of images", pixels.len()))
    })?;
    copy.extend_from_slice(pixels);
    let files = detached(py, move |interrupted| {
        machine.spawn_watched(interrupted, move |flag| -> Vec<Vec<u8>> {
            let encode = |image: &[u8]| {
                if flag.stopped() { vec![] } else { crate::png::encode(image, height, width, channels) }
            };
            copy.par_chunks_exact(bytes).map(encode).collect()
        })
    })?;
    Ok(files.iter().map(|file| PyBytes::new(py, file)).collect())
}
