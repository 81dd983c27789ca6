//! One sample: the image, and what else there is to know of it.

/// Memory for one sample.
#[derive(Debug)]
pub struct Sample<'a> {
    /// One gray byte per pixel, or three of color, row by row; what is kept of the frame.
    pub image: &'a mut [u8],
    /// Which object each pixel of the image shows, if anybody wants to know.
    pub objects: Option<Objects<'a>>,
}

/// Which object each pixel shows. Masks, boxes and the labels of all objects are made of it.
#[derive(Debug)]
pub struct Objects<'a> {
    /// 0 is background, k the k-th object, counted from 1; as many as the image has pixels.
    pub map: &'a mut [u16],
    /// The category of each object.
    pub categories: &'a mut Vec<u64>,
}

/// Memory for the samples of many addresses, one after the other.
pub struct Samples<'a> {
    /// The images.
    pub images: &'a mut [u8],
    /// How often each was rendered again because it was degenerate.
    pub retries: &'a mut [u8],
    /// Which object each pixel shows, if anybody wants to know.
    pub objects: Option<SampleObjects<'a>>,
}

/// The objects of many samples.
pub struct SampleObjects<'a> {
    /// The maps, one after the other.
    pub maps: &'a mut [u16],
    /// For each sample the category of each object.
    pub categories: &'a mut [Vec<u64>],
}
