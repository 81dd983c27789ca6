//! Affine maps and their probabilities, in any number of dimensions.

use crate::arrays::Arrays;
use crate::error::Error;

/// Checks a system: 1…256 maps of finite numbers, and probabilities that sum to 1 within 1e-6.
pub(in crate::formula) fn check<const N: usize>(
    maps: &[[f64; N]],
    probabilities: &[f64],
) -> Result<(), Error> {
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

/// Creates systems from `maps` (n, N) and `probabilities` (n,), which hold the maps of all categories
/// one after the other, and `lengths` (categories,), the number of maps of each.
pub(in crate::formula) fn from_arrays<const N: usize, T>(
    parameters: &Arrays,
    new: impl Fn(Vec<[f64; N]>, Vec<f64>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut maps = parameters.rows::<N>("maps")?;
    let mut probabilities = parameters.floats("probabilities")?;
    let category = |(category, length): (usize, usize)| {
        let (own_maps, own_probabilities);
        (own_maps, maps) = maps.split_at_checked(length).ok_or(Error::Parameter("lengths"))?;
        (own_probabilities, probabilities) =
            probabilities.split_at_checked(length).ok_or(Error::Parameter("probabilities"))?;
        new(own_maps.to_vec(), own_probabilities.to_vec())
            .map_err(|error| Error::InCategory { category, error: Box::new(error) })
    };
    let lengths = parameters.lengths("lengths")?;
    let categories = lengths.into_iter().enumerate().map(category).collect::<Result<Vec<T>, _>>()?;
    if maps.is_empty() && probabilities.is_empty() {
        Ok(categories)
    } else {
        Err(Error::Parameter("lengths"))
    }
}
