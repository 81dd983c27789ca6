//! The parameters of a family as named arrays, the form in which Python saves, hashes and passes them.

use std::collections::BTreeMap;

use crate::error::Error;

/// Named arrays.
#[derive(Clone, Debug, Default)]
pub struct Arrays(BTreeMap<String, Array>);

/// One array in row-major order.
#[derive(Clone, Debug)]
pub struct Array {
    /// The length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements.
    pub numbers: Numbers,
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// float64
    F64(Vec<f64>),
    /// int64
    I64(Vec<i64>),
    /// uint64
    U64(Vec<u64>),
    /// Text; a scalar.
    Text(String),
}

impl Arrays {
    /// Adds an array.
    pub fn insert(&mut self, name: impl Into<String>, shape: Vec<usize>, numbers: Numbers) {
        self.0.insert(name.into(), Array { shape, numbers });
    }

    /// Returns the rows of a float64 array of shape (_, `N`).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if the array is missing, is not float64 or has another shape.
    pub fn rows<const N: usize>(&self, name: &'static str) -> Result<&[[f64; N]], Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::F64(numbers) } if matches!(shape[..], [_, n] if n == N) => {
                Ok(numbers.as_chunks().0)
            }
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns the rows of a uint64 array of shape (_, `N`).
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if the array is missing, is not uint64 or has another shape.
    pub fn u64_rows<const N: usize>(&self, name: &'static str) -> Result<&[[u64; N]], Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::U64(numbers) } if matches!(shape[..], [_, n] if n == N) => {
                Ok(numbers.as_chunks().0)
            }
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns a one-dimensional float64 array.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if the array is missing, is not float64 or is not one-dimensional.
    pub fn floats(&self, name: &'static str) -> Result<&[f64], Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::F64(numbers) } if shape.len() == 1 => Ok(numbers),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns a one-dimensional int64 array of lengths, none of them negative.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if the array is missing, is not int64, is not one-dimensional or holds a
    /// negative number.
    pub fn lengths(&self, name: &'static str) -> Result<Vec<usize>, Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::I64(numbers) } if shape.len() == 1 => numbers
                .iter()
                .map(|&length| usize::try_from(length).map_err(|_| Error::Parameter(name)))
                .collect(),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns a float64 scalar.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if the array is missing, is not float64 or is not a scalar.
    pub fn float(&self, name: &'static str) -> Result<f64, Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::F64(numbers) } if shape.is_empty() => Ok(numbers[0]),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns an int64 scalar that is not negative.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if the array is missing, is not int64, is not a scalar or is negative.
    pub fn count(&self, name: &'static str) -> Result<usize, Error> {
        match self.get(name)? {
            Array { shape, numbers: Numbers::I64(numbers) } if shape.is_empty() => {
                usize::try_from(numbers[0]).map_err(|_| Error::Parameter(name))
            }
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns the name of a family and its arrays, stored as `prefix.family.array`.
    pub fn family(&self, prefix: &str) -> Option<(&str, Self)> {
        let mut names = self.0.keys().filter_map(|name| name.strip_prefix(prefix)?.strip_prefix('.'));
        let family = names.next()?.split_once('.')?.0;
        let start = format!("{prefix}.{family}.");
        let own = self
            .0
            .iter()
            .filter_map(|(name, array)| Some((name.strip_prefix(&start)?.to_owned(), array.clone())));
        Some((family, Self(own.collect())))
    }

    /// Returns a string.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Parameter`] if it is missing or is not a string.
    pub fn text(&self, name: &'static str) -> Result<&str, Error> {
        match self.get(name)? {
            Array { numbers: Numbers::Text(text), .. } => Ok(text),
            _ => Err(Error::Parameter(name)),
        }
    }

    /// Returns the arrays whose names begin with `prefix`, named without it.
    pub fn under(&self, prefix: &str) -> Self {
        let named =
            |(name, array): (&String, &Array)| Some((name.strip_prefix(prefix)?.to_owned(), array.clone()));
        Self(self.0.iter().filter_map(named).collect())
    }

    fn get(&self, name: &'static str) -> Result<&Array, Error> {
        self.0.get(name).ok_or(Error::Parameter(name))
    }
}
