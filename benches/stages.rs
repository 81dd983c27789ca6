//! Stages of a picture, whole pictures, and the search; one core, by SIMD path. `cargo bench`

use divan::{Bencher, counter::ItemsCount};
use fdsl::address::{Address, Purpose, Rng};
use fdsl::canvas::{Canvas, Masks};
use fdsl::dots::{Bounds, Dots};
use fdsl::formula::ifs::orbit;
use fdsl::formula::ifs::search::Search;
use fdsl::formula::ifs::table::Table;
use fdsl::rendering::{Draw, Patch, Sampler};
use fdsl::window::Window;
use fdsl::{Bezier, Formula, Ifs, Machine, Perlin, Rendering, Simd, render};
use std::ops::ControlFlow;

/// The published program's first ten categories are not at hand here: ours, found alike.
fn categories() -> Vec<Ifs> {
    let search = Search { categories: 10, fill_rate: 0.2, seed: 1, max_maps: 7, ..Default::default() };
    let machine = Machine { threads: None, simd: *Simd::available().last().unwrap() };
    search.run::<()>(&machine, |_, _| ControlFlow::Continue(())).unwrap().categories
}

fn main() {
    divan::main();
}

fn paths() -> Vec<&'static str> {
    Simd::available().iter().map(|path| path.name()).collect()
}

/// Ten pictures, one a category, unscaled and never redrawn: the kernel alone.
fn pictures(bencher: Bencher, path: &str, rendering: Rendering) {
    draw(bencher, path, rendering, &categories());
}

/// Ten pictures of the categories, in turn.
fn draw<F: Formula>(bencher: Bencher, path: &str, rendering: Rendering, categories: &[F]) {
    let machine = Machine { threads: Some(1), simd: Simd::named(path).unwrap() };
    let places: Vec<(u64, u64)> = (0..10).map(|i| (i % categories.len() as u64, 80)).collect();
    let (mut pixels, mut redraws) = (vec![0; 10 * rendering.bytes()], vec![0; 10]);
    bencher.counter(ItemsCount::new(10usize)).bench_local(|| {
        render(categories, &places, 0, &rendering, &machine, &mut pixels, &mut redraws).unwrap();
    });
}

fn kernel() -> Rendering {
    Rendering { redraw: false, ..Default::default() }
}

#[divan::bench(args = paths())]
fn patch_random_256(bencher: Bencher, path: &str) {
    pictures(bencher, path, kernel());
}

#[divan::bench(args = paths())]
fn patch_fixed_256(bencher: Bencher, path: &str) {
    pictures(bencher, path, Rendering { draw: Draw::Patch(Patch::Fixed), ..kernel() });
}

#[divan::bench(args = paths())]
fn patch_random_color_256(bencher: Bencher, path: &str) {
    pictures(bencher, path, Rendering { color: true, ..kernel() });
}

#[divan::bench(args = paths())]
fn point_256_100k(bencher: Bencher, path: &str) {
    pictures(bencher, path, Rendering { draw: Draw::Point, points: 100_000, ..kernel() });
}

#[divan::bench(args = paths())]
fn patch_random_64_12500(bencher: Bencher, path: &str) {
    pictures(bencher, path, Rendering { height: 64, width: 64, points: 12_500, ..kernel() });
}

/// Ten of the hundred categories of Perlin-100, coarse and fine.
#[divan::bench(args = paths())]
fn perlin_100_256(bencher: Bencher, path: &str) {
    let pair = |i: u32| [f64::from(i), f64::from(1 + i * 7 % 10)];
    let noise: Vec<Perlin> = (1..=10).map(|i| Perlin::new(pair(i), 1, 0.5, 1.0).unwrap()).collect();
    draw(bencher, path, kernel(), &noise);
}

/// Ten of the categories of Bezier-1024, few curves and many.
#[divan::bench(args = paths())]
fn bezier_1024_256(bencher: Bencher, path: &str) {
    let pairs: Vec<[u64; 2]> = (0..10).map(|i| [2 + 3 * i, 1 + i * 17 % 32]).collect();
    draw(bencher, path, kernel(), &Bezier::family(&pairs).unwrap());
}

/// Ten pictures as PNG files: one bit a pixel, and eight.
fn png(bencher: Bencher, rendering: Rendering) {
    let categories = categories();
    let machine = Machine { threads: Some(1), simd: *Simd::available().last().unwrap() };
    let places: Vec<(u64, u64)> = (0..10).map(|category| (category, 80)).collect();
    let (mut pixels, mut redraws) = (vec![0; 10 * rendering.bytes()], vec![0; 10]);
    render(&categories, &places, 0, &rendering, &machine, &mut pixels, &mut redraws).unwrap();
    let (height, width) = rendering.output_size();
    let encode = |pixels: &[u8]| fdsl::png::encode(pixels, height, width, rendering.channels()).len();
    let bytes: usize = pixels.chunks(rendering.bytes()).map(encode).sum();
    eprintln!("{} bytes a file", bytes / 10);
    bencher
        .counter(ItemsCount::new(10usize))
        .bench_local(|| pixels.chunks(rendering.bytes()).map(encode).sum::<usize>());
}

#[divan::bench]
fn png_gray_256(bencher: Bencher) {
    png(bencher, kernel());
}

#[divan::bench]
fn png_gray_fixed_256(bencher: Bencher) {
    png(bencher, Rendering { draw: Draw::Patch(Patch::Fixed), ..kernel() });
}

#[divan::bench]
fn png_color_256(bencher: Bencher) {
    png(bencher, Rendering { color: true, ..kernel() });
}

/// The stages of ten pictures of 256² and 200,000 dots, each category's own.
fn stage(bencher: Bencher, path: &str, run: impl Fn(&mut Stage, Simd)) {
    let simd = Simd::named(path).unwrap();
    let mut stages: Vec<Stage> = categories().iter().map(|category| Stage::new(category, simd)).collect();
    bencher
        .counter(ItemsCount::new(stages.len()))
        .bench_local(|| stages.iter_mut().for_each(|stage| run(stage, simd)));
}

struct Stage {
    table: Table,
    dots: Dots,
    bounds: Bounds,
    canvas: Canvas,
    pixels: Vec<u8>,
}

impl Stage {
    fn new(category: &Ifs, simd: Simd) -> Self {
        let (mut table, mut dots, mut canvas) = (Table::default(), Dots::default(), Canvas::default());
        table.lay(category.maps(), category.probabilities());
        let bounds = orbit::play(&table, &mut rng(), 200_000, simd, &mut dots).unwrap();
        canvas.plot(&dots, bounds, 256, 256, 6, simd);
        Self { table, dots, bounds, canvas, pixels: vec![0; 3 * 256 * 256] }
    }

    fn resolve(&mut self, masks: Masks, color: bool, simd: Simd) {
        let rendering = Rendering { color, ..kernel() };
        let window = Window { top: 0, left: 0, height: 256, width: 256, flip_rows: true, flip_columns: true };
        self.canvas.resolve(window, &rendering, masks, simd, &mut self.pixels[..rendering.bytes()]);
    }
}

fn rng() -> Rng {
    Address { seed: 0, category: 0, index: 0 }.rng(Purpose::Orbit, 0)
}

#[divan::bench(args = paths())]
fn stage_1_orbit(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| {
        let Stage { table, dots, .. } = stage;
        orbit::play(table, &mut rng(), 200_000, simd, dots).unwrap();
    });
}

#[divan::bench(args = paths())]
fn stage_2_plot(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| stage.canvas.plot(&stage.dots, stage.bounds, 256, 256, 6, simd));
}

#[divan::bench(args = paths())]
fn stage_3_resolve_random(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| stage.resolve(Masks::Random(7), false, simd));
}

#[divan::bench(args = paths())]
fn stage_3_resolve_fixed(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| stage.resolve(Masks::Fixed(7), false, simd));
}

#[divan::bench(args = paths())]
fn stage_3_resolve_random_color(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| stage.resolve(Masks::Random(7), true, simd));
}

/// A thousand candidates of the paper's search.
fn search(bencher: Bencher, path: &str, sampler: Sampler) {
    let machine = Machine { threads: Some(1), simd: Simd::named(path).unwrap() };
    let search = Search { fill_rate: 1.0, max_tries: 1000, seed: 1, sampler, ..Default::default() };
    bencher
        .counter(ItemsCount::new(1000usize))
        .bench_local(|| search.run::<()>(&machine, |_, _| ControlFlow::Continue(())).unwrap_err());
}

#[divan::bench(args = paths(), sample_count = 5)]
fn search_1000_candidates(bencher: Bencher, path: &str) {
    search(bencher, path, Sampler::Fdsl);
}

#[divan::bench(args = paths(), sample_count = 5)]
fn search_1000_candidates_released(bencher: Bencher, path: &str) {
    search(bencher, path, Sampler::Released);
}

#[divan::bench(args = paths())]
fn patch_random_256_released(bencher: Bencher, path: &str) {
    pictures(bencher, path, Rendering { sampler: Sampler::Released, ..kernel() });
}
