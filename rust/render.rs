//! Rendering of many samples in parallel, one task per sample.

use rayon::prelude::*;

use crate::address::{Address, At};
use crate::error::Error;
use crate::formula::interface::{Formula, Outcome, Style};
use crate::frame::Frame;
use crate::machine::{Clock, InterruptCheck, Machine, Watch, with_scratch};
use crate::sample::{Objects, Sample, SampleObjects, Samples};

/// What to render, and how.
pub struct Job<'a, F: Formula> {
    /// The categories.
    pub categories: &'a [F],
    /// The seed of every address.
    pub seed: u64,
    /// The settings shared by all families.
    pub frame: &'a Frame,
    /// The settings of this family.
    pub style: &'a F::Style,
    /// The number of threads and the SIMD backend.
    pub machine: &'a Machine,
}

/// Renders the samples at `addresses`, pairs of (category, index), into `samples`.
///
/// Calls `interrupted` ten times a second and stops once it returns true.
///
/// # Errors
///
/// Returns an error if the frame is out of range, if the style does not fit it, if a category does not
/// exist, or if a buffer has the wrong length. Returns [`Error::Interrupted`] if the run was stopped; the contents
/// of `samples` are then unspecified.
///
/// ```
/// use fdsl::{Frame, Ifs, Machine, Samples, Simd, ifs};
/// let half = |e, f| [0.5, 0.0, 0.0, 0.5, e, f];
/// let sierpinski = Ifs::new(vec![half(0.0, 0.0), half(0.5, 0.0), half(0.25, 0.5)], vec![1.0 / 3.0; 3])?;
/// let frame = &Frame { height: 64, width: 64, ..Frame::default() }.checked()?;
/// let style = &ifs::Style { num_points: 10_000, ..Default::default() };
/// let machine = &Machine { threads: Some(1), simd: Simd::PLAIN };
/// let job = fdsl::Job { categories: &[sierpinski], seed: 42, frame, style, machine };
/// let (mut images, mut retries) = (vec![0; 2 * frame.bytes()], vec![0; 2]);
/// let samples = Samples { images: &mut images, retries: &mut retries, objects: None };
/// fdsl::render(&job, &[(0, 0), (0, 1)], &mut || false, samples)?;
/// assert!(images.iter().any(|&pixel| pixel == 127));
/// # Ok::<(), fdsl::Error>(())
/// ```
pub fn render<F: Formula>(
    job: &Job<'_, F>,
    addresses: &[(u64, u64)],
    interrupted: InterruptCheck<'_>,
    samples: Samples<'_>,
) -> Result<(), Error> {
    let Job { categories, frame, style, machine, .. } = *job;
    if samples.objects.is_some() && !F::OBJECTS {
        return Err(Error::Objects(F::NAME));
    }
    frame.check()?;
    style.check(frame)?;
    for &(category, _) in addresses {
        if category >= categories.len() as u64 {
            return Err(Error::Category { category, categories: categories.len() });
        }
    }
    let tasks = tasks(addresses, frame, samples)?;
    let machine = machine.settled(addresses.len())?;
    let done = if machine.threads == Some(1) {
        // Renders on the calling thread, without a pool: a single image, or in a DataLoader worker.
        let clock = Clock::new(interrupted);
        tasks.take_while(|_| !clock.stopped()).for_each(|task| job.run(task, &clock));
        if clock.stopped() { Err(Error::Interrupted) } else { Ok(()) }
    } else {
        let tasks: Vec<Task<'_>> = tasks.collect();
        machine.install_watched(interrupted, |flag| {
            tasks.into_par_iter().with_max_len(1).for_each(|task| {
                if !flag.stopped() {
                    job.run(task, flag);
                }
            });
        })
    };
    let memory = categories.first().map_or(0, |category| category.memory(style, frame));
    machine.free_large_scratch(memory)?;
    done
}

/// One sample to render.
struct Task<'a> {
    address: (u64, u64),
    sample: Sample<'a>,
    retries: &'a mut u8,
}

/// Splits the buffers into one task per address. Returns an error unless each buffer has exactly the
/// length that all addresses together need.
fn tasks<'a>(
    addresses: &'a [(u64, u64)],
    frame: &Frame,
    samples: Samples<'a>,
) -> Result<impl Iterator<Item = Task<'a>>, Error> {
    let Samples { images, retries, objects } = samples;
    let (bytes, pixels) = (frame.bytes(), frame.bytes() / frame.channels());
    let check = |name, expected, given| {
        if expected == given { Ok(()) } else { Err(Error::Length { name, expected, given }) }
    };
    check("images", addresses.len() * bytes, images.len())?;
    check("retries", addresses.len(), retries.len())?;
    if let Some(SampleObjects { maps, categories }) = &objects {
        check("maps", addresses.len() * pixels, maps.len())?;
        check("categories", addresses.len(), categories.len())?;
    }
    let (maps, categories) = objects.map_or((None, None), |o| (Some(o.maps), Some(o.categories)));
    let mut maps = maps.map(|maps| maps.chunks_exact_mut(pixels));
    let mut categories = categories.map(|categories| categories.iter_mut());
    Ok(addresses.iter().zip(images.chunks_exact_mut(bytes)).zip(retries).map(
        move |((&address, image), retries)| {
            let map = maps.as_mut().and_then(Iterator::next);
            let categories = categories.as_mut().and_then(Iterator::next);
            let objects = map.zip(categories).map(|(map, categories)| Objects { map, categories });
            Task { address, sample: Sample { image, objects }, retries }
        },
    ))
}

impl<F: Formula> Job<'_, F> {
    fn run(&self, task: Task<'_>, watch: &dyn Watch) {
        let Task { address: (category, index), mut sample, retries } = task;
        let address = Address { seed: self.seed, category, index };
        let at = At::new(address, self.frame, F::FORMAT, self.machine.simd, watch);
        let formula = &self.categories[category as usize]; // checked by `render`
        *retries = with_scratch(|scratch| draw(formula, at, self.style, scratch, &mut sample));
    }
}

/// Renders one sample, and re-renders it while it is degenerate. Returns the number of re-renders,
/// including the fallback after the last attempt.
pub(crate) fn draw<F: Formula>(
    formula: &F,
    mut at: At<'_>,
    style: &F::Style,
    scratch: &mut F::Scratch,
    sample: &mut Sample<'_>,
) -> u8 {
    for attempt in 0..=F::retries(style) {
        at.attempt = attempt.into();
        sample.clear_objects();
        match formula.draw(at, style, scratch, sample) {
            Outcome::Shown => return attempt,
            Outcome::Degenerate if !at.frame.resample_degenerate => return attempt,
            Outcome::Nothing if !at.frame.resample_degenerate => {
                sample.clear_objects();
                formula.draw_fallback(at, style, scratch, sample);
                return attempt;
            }
            _ if at.stopped() => return attempt,
            _ => {}
        }
    }
    at.attempt += 1;
    sample.clear_objects();
    formula.draw_fallback(at, style, scratch, sample);
    at.attempt as u8 // one more than `retries`, which families keep well below 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::Arrays;
    use crate::family::Family;
    use crate::formula::interface::NoStyle;
    use crate::simd::Simd;

    /// The category of which nothing can be drawn.
    const NOTHING: u8 = 77;

    /// A category whose first `self.0` attempts are degenerate. The image is a constant gray that
    /// identifies the category, and every column is an object.
    struct Stripes(u8);

    impl Formula for Stripes {
        const NAME: &'static str = "stripes";
        const OBJECTS: bool = true;
        type Style = NoStyle;
        type Scratch = ();

        fn family(_: &Arrays) -> Result<Vec<Self>, Error> {
            Ok(vec![Self(0), Self(3), Self(u8::MAX), Self(NOTHING)])
        }

        fn draw(&self, at: At<'_>, _: &NoStyle, (): &mut (), sample: &mut Sample<'_>) -> Outcome {
            sample.image.fill(1 + self.0 / 2);
            if let Some(Objects { map, categories }) = &mut sample.objects {
                let (_, width) = at.frame.output_size();
                categories.extend((0..width as u64).map(|column| column % 3));
                for (i, object) in map.iter_mut().enumerate() {
                    *object = (i % width + 1) as u16; // at most 4096
                }
            }
            match self.0 {
                NOTHING => Outcome::Nothing,
                attempts if at.attempt < u64::from(attempts) => Outcome::Degenerate,
                _ => Outcome::Shown,
            }
        }

        fn draw_fallback(&self, _: At<'_>, _: &NoStyle, (): &mut (), sample: &mut Sample<'_>) {
            sample.image.fill(9);
        }
    }

    const SETTINGS: &str = r#"{"frame": {"size": [16, 20], "crop": null, "crop_position": "random",
        "flips": true, "color": false, "resample_degenerate": true}, "style": {}}"#;

    #[test]
    fn a_degenerate_sample_is_re_rendered_until_it_shows_or_falls_back() {
        let stripes: Box<dyn Family> = Box::new(Stripes::family(&Arrays::default()).unwrap());
        for threads in [1, 2] {
            let (mut images, mut retries) = (vec![0; 3 * 320], vec![0; 3]);
            let machine = Machine { threads: Some(threads), simd: Simd::PLAIN };
            let samples = Samples { images: &mut images, retries: &mut retries, objects: None };
            let addresses = [(0, 0), (1, 5), (2, 7)];
            stripes.render(&addresses, 0, SETTINGS, &machine, &mut || false, samples).unwrap();
            assert_eq!((&retries[..], images[0], images[320], images[640]), (&[0, 3, 9][..], 1, 2, 9));
        }
    }

    #[test]
    fn a_sample_of_nothing_falls_back_even_if_none_is_re_rendered() {
        let stripes: Box<dyn Family> = Box::new(Stripes::family(&Arrays::default()).unwrap());
        let machine = Machine { threads: Some(1), simd: Simd::PLAIN };
        let once = SETTINGS.replace(r#""resample_degenerate": true"#, r#""resample_degenerate": false"#);
        for (settings, expected) in [(SETTINGS, 9), (&once, 0)] {
            let (mut images, mut retries) = (vec![0; 320], vec![0; 1]);
            let samples = Samples { images: &mut images, retries: &mut retries, objects: None };
            stripes.render(&[(3, 0)], 0, settings, &machine, &mut || false, samples).unwrap();
            assert_eq!((images[0], retries[0]), (9, expected));
        }
    }

    #[test]
    fn a_frame_out_of_range_is_an_error() {
        let frame = &Frame { height: 0, ..Frame::default() };
        let machine = &Machine { threads: Some(1), simd: Simd::PLAIN };
        let job = Job { categories: &[Stripes(0)], seed: 0, frame, style: &NoStyle {}, machine };
        let samples = Samples { images: &mut [], retries: &mut [0], objects: None };
        assert_eq!(
            render(&job, &[(0, 0)], &mut || false, samples),
            Err(Error::Size { height: 0, width: 256 })
        );
    }

    #[test]
    fn every_sample_comes_with_its_objects() {
        let stripes: Box<dyn Family> = Box::new(Stripes::family(&Arrays::default()).unwrap());
        for threads in [1, 2] {
            let (mut images, mut retries) = (vec![0; 2 * 320], vec![0; 2]);
            let (mut maps, mut categories) = (vec![7; 2 * 320], vec![vec![], vec![]]);
            let machine = Machine { threads: Some(threads), simd: Simd::PLAIN };
            let objects = Some(SampleObjects { maps: &mut maps, categories: &mut categories });
            let samples = Samples { images: &mut images, retries: &mut retries, objects };
            stripes.render(&[(0, 0), (1, 5)], 0, SETTINGS, &machine, &mut || false, samples).unwrap();
            assert!(maps.iter().enumerate().all(|(i, &object)| usize::from(object) == i % 20 + 1));
            assert!(categories.iter().all(|of| of.len() == 20 && of[4] == 1));
        }
    }

    #[test]
    fn settings_that_a_family_does_not_have_are_rejected() {
        let stripes: Box<dyn Family> = Box::new(Stripes::family(&Arrays::default()).unwrap());
        let machine = Machine { threads: Some(1), simd: Simd::PLAIN };
        let wrong = SETTINGS.replace(r#""style": {}"#, r#""style": {"num_points": 3}"#);
        let samples = Samples { images: &mut [], retries: &mut [], objects: None };
        let refused = stripes.render(&[], 0, &wrong, &machine, &mut || false, samples);
        assert!(matches!(refused, Err(Error::Settings(message)) if message.contains("num_points")));
    }
}
