//! The parameters of a family, as named arrays: what Python saves, hashes and hands over.

use std::collections::BTreeMap;

use crate::error::Error;

/// Named arrays.
#[derive(Clone, Debug, Default)]
pub struct Arrays(BTreeMap<String, Array>);

/// One array, row by row.
#[derive(Clone, Debug)]
pub struct Array {
    /// The length of each dimension; of none, there is one number.
    pub shape: Vec<usize>,
    /// The numbers.
    pub numbers: Numbers,
}

/// The numbers of an array.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// float64
    Floats(Vec<f64>),
    /// int64
    Integers(Vec<i64>),
    /// uint64
    Naturals(Vec<u64>),
}

impl Arrays {
    /// Adds an array.
    pub fn insert(&mut self, name: impl Into<String>, shape: Vec<usize>, numbers: Numbers) {
        self.0.insert(name.into(), Array { shape, numbers });
    }

    /// Returns rows of `N` floats.
    pub fn rows<const N: usize>(&self, name: &'static str) -> Result<&[[f64; N]], Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::Floats(numbers) } if matches!(shape[..], [_, n] if n == N) => {
                Ok(numbers.as_chunks().0)
            }
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns rows of `N` unsigned integers.
    pub fn natural_rows<const N: usize>(&self, name: &'static str) -> Result<&[[u64; N]], Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::Naturals(numbers) } if matches!(shape[..], [_, n] if n == N) => {
                Ok(numbers.as_chunks().0)
            }
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns a column of floats.
    pub fn floats(&self, name: &'static str) -> Result<&[f64], Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::Floats(numbers) } if shape.len() == 1 => Ok(numbers),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns a column of lengths, none of them negative.
    pub fn lengths(&self, name: &'static str) -> Result<Vec<usize>, Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::Integers(numbers) } if shape.len() == 1 => numbers
                .iter()
                .map(|&length| usize::try_from(length).map_err(|_| Error::Parameter(name)))
                .collect(),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns one float.
    pub fn float(&self, name: &'static str) -> Result<f64, Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::Floats(numbers) } if shape.is_empty() => Ok(numbers[0]),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns one integer that is not negative.
    pub fn natural(&self, name: &'static str) -> Result<usize, Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::Integers(numbers) } if shape.is_empty() => {
                usize::try_from(numbers[0]).map_err(|_| Error::Parameter(name))
            }
            _ => Err(Error::Parameter(name)),
        }
    }

    fn get(&self, name: &'static str) -> Result<&Array, Error> {
        self.0.get(name).ok_or(Error::Parameter(name))
    }
}
