//! Settings, from Python's words to ours.

use pyo3::prelude::*;

use crate::error::Error;
use crate::rendering::{self, Draw, Patch, Rendering, Sampler, Weights};

/// Settings, checked once; `fdsl.Rendering` holds one.
#[pyclass(frozen, module = "fdsl._core", name = "Rendering")]
pub(super) struct PyRendering(pub(super) Rendering);

#[pymethods]
impl PyRendering {
    #[new]
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (*, size, points, draw, patch, color, weights, pad, crop, crop_position, variation, flips, redraw, sampler, mask_seed))]
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
        sampler: &str,
        mask_seed: Option<u64>,
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
        let sampler = choice(
            "sampler",
            sampler,
            "'fdsl' or 'released'",
            [("fdsl", Sampler::Fdsl), ("released", Sampler::Released)],
        )?;
        let weights = match weights {
            None => Weights::Identity,
            Some(w) if grid => Weights::Grid(w),
            Some(w) => Weights::Continuous(w),
        };
        let crop = crop.map(|(height, width)| rendering::Crop { height, width, random });
        let (height, width) = size;
        let rendering = Rendering {
            height,
            width,
            points,
            draw,
            color,
            weights,
            pad,
            crop,
            flips,
            redraw,
            sampler,
            mask_seed,
        };
        Ok(Self(rendering.checked()?))
    }
}

pub(super) fn choice<T: Copy>(
    name: &'static str,
    given: &str,
    accepted: &'static str,
    options: [(&str, T); 2],
) -> Result<T, Error> {
    let found = options.iter().find(|(option, _)| *option == given);
    found.map(|&(_, value)| value).ok_or_else(|| Error::Choice { name, accepted, given: given.to_owned() })
}
