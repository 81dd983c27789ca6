//! Rendering does not allocate once its thread has rendered an image like it. (The replay of the
//! released code does: a few small vectors in several milliseconds of work.)

use std::alloc::System;

use fdsl::arrays::{Arrays, Numbers};
use fdsl::formula::bezier::Strokes;
use fdsl::formula::contour::segrcdb::{Mask, SegRcdb, SegStyle, released_classes};
use fdsl::formula::contour::{Contour, ContourStyle};
use fdsl::formula::diamond_square::DiamondSquare;
use fdsl::formula::ifs3d::{self, Ifs3d};
use fdsl::formula::interface::{Formula, NoStyle};
use fdsl::formula::leaves::{DeadLeaves, Leaves};
use fdsl::formula::part::part;
use fdsl::formula::spectrum::Spectrum;
use fdsl::ifs::{Background, Change, Draw, Finish, Patch, Shading, Style, Variation, View};
use fdsl::sample::SampleObjects;
use fdsl::{Bezier, Frame, Ifs, Job, Machine, Perlin, Samples, Simd, render};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Renders the same images twice and counts the allocations of the second time.
fn allocations<F: Formula>(categories: &[F], frame: &Frame, style: &F::Style) -> usize {
    allocations_of(categories, frame, style, false)
}

/// The same, with the objects of each image.
fn allocations_of<F: Formula>(
    categories: &[F],
    frame: &Frame,
    style: &F::Style,
    with_objects: bool,
) -> usize {
    let addresses: Vec<(u64, u64)> = (0..40).map(|i| (i % categories.len() as u64, 25 * i)).collect();
    let (mut images, mut retries) = (vec![0; addresses.len() * frame.bytes()], vec![0; addresses.len()]);
    let pixels = if with_objects { frame.bytes() / frame.channels() } else { 0 };
    let (mut maps, mut found) = (vec![0; addresses.len() * pixels], vec![vec![]; addresses.len()]);
    let machine = &Machine { threads: Some(1), simd: *Simd::available().last().unwrap() };
    let job = Job { categories, seed: 0, frame, style, machine };
    let mut draw = || {
        let objects = SampleObjects { maps: &mut maps, categories: &mut found };
        let objects = with_objects.then_some(objects);
        let samples = Samples { images: &mut images, retries: &mut retries, objects };
        render(&job, &addresses, &mut || false, samples).unwrap();
    };
    draw();
    let region = Region::new(ALLOCATOR);
    draw();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Runs without the test harness (`harness = false`): its main thread allocates while a test runs, and
/// those allocations were sometimes counted as well.
fn main() {
    let map = |e, f| [0.5, 0.1, -0.2, 0.6, e, f];
    let few = Ifs::new(vec![map(0.0, 0.0), map(0.5, -0.3), map(-0.4, 0.5)], vec![0.5, 0.25, 0.25]).unwrap();
    let many = Ifs::new((0..20).map(|i| map(f64::from(i) / 10.0, 0.3)).collect(), vec![0.05; 20]).unwrap();
    // Diverges at the largest variation, and is then re-rendered.
    let wild = Ifs::new(vec![[1.1, 0.0, 0.0, 0.6, 0.1, 0.2], map(0.5, 0.1)], vec![0.5, 0.5]).unwrap();
    let ifs = [few, many, wild];
    let gray = Frame { height: 64, width: 48, ..Frame::default() };
    let color = Frame { color: true, ..gray.clone() };
    let points = Style { num_points: 12_500, ..Style::default() };
    let wild = Style { draw: Draw::Point, variation: Variation::Continuous(1.0), ..points.clone() };
    let dense = Style {
        shading: Shading::Density,
        variation: Variation::OneMap(Change::Scale, 0.1),
        view: View { zoom: 2.0, shift: 0.2, transpose: true },
        finish: Finish { background: Some(Background::DiamondSquare), blur: 1.0 },
        ..points.clone()
    };
    for (frame, style) in [
        (&gray, &points),
        (&color, &Style { draw: Draw::Patch(Patch::Fixed), ..points.clone() }),
        (&gray, &Style { draw: Draw::Point, ..points.clone() }),
        (&color, &wild),
        (&gray, &Style { shading: Shading::Any, ..points.clone() }),
        (&color, &dense),
    ] {
        assert_eq!(allocations(&ifs, frame, style), 0, "{frame:?} {style:?}");
    }
    let leaves = DeadLeaves::of_rows(&[[6.0, 3.0, 0.03, 1.0]], None).unwrap();
    assert_eq!(allocations(&leaves, &gray, &Leaves::default()), 0);
    let spectrum = part(vec![Spectrum::new([1.0, 2.0]).unwrap()], Frame::default(), NoStyle {});
    let textured = DeadLeaves::of_rows(&[[6.0, 3.0, 0.03, 1.0]], Some(spectrum.into())).unwrap();
    assert_eq!(allocations(&textured, &gray, &Leaves::default()), 0);
    assert_eq!(allocations(&[Spectrum::new([1.0, 2.0]).unwrap()], &gray, &NoStyle {}), 0);
    let half = |k| [0.5, 0.1, 0.0, -0.2, 0.6, 0.0, 0.1, 0.0, 0.5, k, 0.3 - k, k * k];
    let in_space = Ifs3d::new(vec![half(0.0), half(0.5), half(-0.4)], vec![0.5, 0.25, 0.25]).unwrap();
    let squares = ifs3d::Style { point_size: 2, shade: true, ..Default::default() };
    for (frame, style) in [(&gray, &ifs3d::Style::default()), (&color, &squares)] {
        assert_eq!(allocations(std::slice::from_ref(&in_space), frame, style), 0, "{frame:?} {style:?}");
    }
    assert_eq!(allocations(&[Perlin::new([3.0, 5.0], 2, 0.5, 1.0).unwrap()], &gray, &NoStyle {}), 0);
    assert_eq!(allocations(&[DiamondSquare::new(0.5).unwrap()], &color, &NoStyle {}), 0);
    let contours = [Contour::new([14.0, 20.0, 0.25, 0.5]).unwrap()];
    for (frame, line_width) in [(&gray, 1), (&color, 3)] {
        assert_eq!(allocations(&contours, frame, &ContourStyle { line_width, ..Default::default() }), 0);
    }
    let mut classes = Arrays::default();
    let rows = released_classes(9).into_iter().flatten().collect();
    classes.insert("classes", vec![9, 7], Numbers::F64(rows));
    let rings = SegRcdb::family(&classes).unwrap();
    for mask in [Mask::Strokes, Mask::Between, Mask::Filled] {
        let style = SegStyle { mask, ..Default::default() };
        assert_eq!(allocations_of(&rings, &gray, &style, true), 0, "{style:?}");
    }
    assert_eq!(allocations(&Bezier::from_counts(&[[4, 3], [9, 2]]).unwrap(), &gray, &Strokes::default()), 0);
}
