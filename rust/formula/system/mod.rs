//! Systems of affine maps and their probabilities, in any number of dimensions.

pub(in crate::formula) mod choice;
pub(in crate::formula) mod replay;
pub mod search;
pub(in crate::formula) mod xoroshiro;

use crate::arrays::Arrays;
use crate::error::Error;

/// A system is considered divergent once any coordinate exceeds this in magnitude. Beyond it, f32 is
/// too coarse to spread an attractor of size 1 over more than a handful of pixels; the coarseness shows
/// from 1e5 on. Attractors of a search are close to the origin.
pub(in crate::formula) const ESCAPE_RADIUS: f32 = 1e6;

/// One category: affine maps of `N` numbers each, and their probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct System<const N: usize> {
    maps: Vec<[f64; N]>,
    probabilities: Vec<f64>,
}

impl<const N: usize> System<N> {
    /// Creates a category from 1 to 256 maps and their probabilities.
    ///
    /// # Errors
    ///
    /// Returns an error if a map is not finite, or unless there is one probability per map, each
    /// between 0 and 1, with a sum of 1 to within 1e-6.
    pub fn new(maps: Vec<[f64; N]>, probabilities: Vec<f64>) -> Result<Self, Error> {
        check(&maps, &probabilities)?;
        Ok(Self { maps, probabilities })
    }

    /// Creates categories from `maps` (n, N) and `probabilities` (n,), which hold the maps of all
    /// categories one after the other, and `lengths` (categories,), the number of maps of each.
    pub(crate) fn from_arrays(parameters: &Arrays) -> Result<Vec<Self>, Error> {
        let (maps, probabilities) = (parameters.rows::<N>("maps")?, parameters.floats("probabilities")?);
        let systems = split(maps, probabilities, &parameters.lengths("lengths")?)?;
        let category = |(category, (maps, probabilities)): (usize, Category<'_, N>)| {
            Self::new(maps.to_vec(), probabilities.to_vec())
                .map_err(|error| Error::InCategory { category, error: Box::new(error) })
        };
        systems.into_iter().enumerate().map(category).collect()
    }

    /// Creates a category in which the probability of a map is proportional to its volume, |det A|; `None`
    /// if all of them are 0. The paper writes det A, which may be negative; the released code takes the
    /// absolute value.
    pub(in crate::formula) fn by_volume(
        maps: Vec<[f64; N]>,
        volume: impl Fn(&[f64; N]) -> f64,
    ) -> Option<Self> {
        let mut probabilities: Vec<f64> = maps.iter().map(volume).collect();
        let sum: f64 = probabilities.iter().sum();
        for probability in &mut probabilities {
            *probability /= sum;
        }
        (sum > 0.0).then_some(Self { maps, probabilities })
    }

    /// Returns the maps.
    pub fn maps(&self) -> &[[f64; N]] {
        &self.maps
    }

    /// Returns the probability of each map.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
}

/// Checks a system: 1…256 maps of finite numbers, and probabilities that sum to 1 within 1e-6.
fn check<const N: usize>(maps: &[[f64; N]], probabilities: &[f64]) -> Result<(), Error> {
    if !(1..=256).contains(&maps.len()) {
        return Err(Error::MapCount(maps.len()));
    }
    if maps.len() != probabilities.len() {
        return Err(Error::ProbabilityCount { maps: maps.len(), probabilities: probabilities.len() });
    }
    for (map, parameters) in maps.iter().enumerate() {
        if let Some(&value) = parameters.iter().find(|value| !value.is_finite()) {
            return Err(Error::MapParameter { map, value });
        }
    }
    for (map, &value) in probabilities.iter().enumerate() {
        // The tolerance of the sum, which a single probability may use up.
        if !(0.0..=1.0 + 1e-6).contains(&value) {
            return Err(Error::Probability { map, value });
        }
    }
    let sum: f64 = probabilities.iter().sum();
    if (sum - 1.0).abs() > 1e-6 { Err(Error::ProbabilitySum(sum)) } else { Ok(()) }
}

/// The maps of a category, and their probabilities.
pub(crate) type Category<'a, const N: usize> = (&'a [[f64; N]], &'a [f64]);

/// Splits the maps and probabilities of all categories, one after the other, into those of each, given
/// their numbers of maps.
pub(crate) fn split<'a, const N: usize>(
    mut maps: &'a [[f64; N]],
    mut probabilities: &'a [f64],
    lengths: &[usize],
) -> Result<Vec<Category<'a, N>>, Error> {
    let mut systems = vec![];
    for &length in lengths {
        let (own_maps, own_probabilities);
        (own_maps, maps) = maps.split_at_checked(length).ok_or(Error::Parameter("lengths"))?;
        (own_probabilities, probabilities) =
            probabilities.split_at_checked(length).ok_or(Error::Parameter("probabilities"))?;
        systems.push((own_maps, own_probabilities));
    }
    if maps.is_empty() && probabilities.is_empty() { Ok(systems) } else { Err(Error::Parameter("lengths")) }
}
