//! A picture allocates nothing once its thread has drawn one like it. (The released program's replay
//! does: a handful of small lists beside milliseconds of work.)

use std::alloc::System;

use fdsl::rendering::{Draw, Patch, Weights};
use fdsl::{Bezier, Formula, Ifs, Machine, Perlin, Rendering, Simd, render};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Draws the pictures, and the same again: the second time nothing may be allocated.
fn second_time<F: Formula>(family: &[F], rendering: &Rendering) -> usize {
    let rendering = rendering.clone().checked().unwrap();
    let places: Vec<(u64, u64)> = (0..40).map(|i| (i % family.len() as u64, 25 * i)).collect();
    let (mut pixels, mut redraws) = (vec![0; places.len() * rendering.bytes()], vec![0; places.len()]);
    let machine = Machine { threads: Some(1), simd: *Simd::available().last().unwrap() };
    let mut draw = || render(family, &places, 0, &rendering, &machine, &mut pixels, &mut redraws).unwrap();
    draw();
    let region = Region::new(ALLOCATOR);
    draw();
    let change = region.change();
    change.allocations + change.reallocations
}

/// One test, because other threads of the same process would be counted too.
#[test]
fn nothing_is_allocated_per_picture() {
    let map = |e, f| [0.5, 0.1, -0.2, 0.6, e, f];
    let few = Ifs::new(vec![map(0.0, 0.0), map(0.5, -0.3), map(-0.4, 0.5)], vec![0.5, 0.25, 0.25]).unwrap();
    let many = Ifs::new((0..20).map(|i| map(f64::from(i) / 10.0, 0.3)).collect(), vec![0.05; 20]).unwrap();
    // At the largest weights it escapes, and is drawn again.
    let wild = Ifs::new(vec![[1.1, 0.0, 0.0, 0.6, 0.1, 0.2], map(0.5, 0.1)], vec![0.5, 0.5]).unwrap();
    let ifs = [few, many, wild];
    let small = Rendering { height: 64, width: 48, points: 12_500, ..Default::default() };
    for rendering in [
        small.clone(),
        Rendering { draw: Draw::Patch(Patch::Fixed), color: true, ..small.clone() },
        Rendering { draw: Draw::Point, ..small.clone() },
        Rendering { draw: Draw::Point, color: true, weights: Weights::Continuous(1.0), ..small.clone() },
    ] {
        assert_eq!(second_time(&ifs, &rendering), 0, "{rendering:?}");
    }
    assert_eq!(second_time(&[Perlin::new([3.0, 5.0], 2, 0.5, 1.0).unwrap()], &small), 0);
    assert_eq!(second_time(&Bezier::family(&[[4, 3], [9, 2]]).unwrap(), &small), 0);
}
