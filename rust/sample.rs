//! A sample: the image, and optionally its objects.

/// The buffers of one sample.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The cropped image in row-major order: one byte per pixel in gray, three in color.
    pub image: &'a mut [u8],
    /// The objects in the image, if requested.
    pub objects: Option<Objects<'a>>,
}

impl Sample<'_> {
    /// Clears the objects, which may be those of an earlier attempt or leftovers of the caller.
    pub(crate) fn clear_objects(&mut self) {
        if let Some(Objects { map, categories }) = &mut self.objects {
            map.fill(0);
            categories.clear();
        }
    }
}

/// The object that each pixel shows. Masks, boxes and multi-hot labels are derived from it.
#[derive(Debug)]
pub struct Objects<'a> {
    /// One entry per pixel: 0 for the background, k for the k-th object, counted from 1.
    pub map: &'a mut [u16],
    /// The category of each object.
    pub categories: &'a mut Vec<u64>,
}

/// The buffers of a batch of samples, one after the other.
pub struct Samples<'a> {
    /// The images.
    pub images: &'a mut [u8],
    /// The number of times each sample was re-rendered because it was degenerate.
    pub retries: &'a mut [u8],
    /// The objects in the images, if requested.
    pub objects: Option<SampleObjects<'a>>,
}

/// The objects of a batch of samples.
pub struct SampleObjects<'a> {
    /// The maps, one after the other.
    pub maps: &'a mut [u16],
    /// The category of each object, per sample.
    pub categories: &'a mut [Vec<u64>],
}
