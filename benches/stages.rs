//! Stages of an image, whole images, and the search, on one core and every SIMD backend: `cargo bench`.

use divan::{Bencher, counter::ItemsCount};
use fdsl::address::{Address, Rng};
use fdsl::formula::bezier::Strokes;
use fdsl::formula::ifs::orbit::{self, ORBIT};
use fdsl::formula::ifs::released::{Released, ReleasedStyle};
use fdsl::formula::ifs::search::Search;
use fdsl::formula::ifs::table::Table;
use fdsl::formula::interface::{Formula, NoStyle};
use fdsl::formula::system::search::Sampler;
use fdsl::frame::Window;
use fdsl::ifs::{Draw, Patch, Style};
use fdsl::points::{Bounds, Points};
use fdsl::surface::{LastPoint, Mark, Masks};
use fdsl::{Bezier, Frame, Ifs, Job, Machine, Perlin, Samples, Simd, render};

/// Ten categories found like the published ones, which ship with the Python package only.
fn categories() -> Vec<Ifs> {
    let search = Search { categories: 10, fill_rate: 0.2, seed: 1, max_maps: 7, ..Default::default() };
    let machine = Machine { threads: None, simd: *Simd::available().last().unwrap() };
    search.run(&machine, &mut |_, _| false).unwrap().categories
}

fn main() {
    divan::main();
}

fn paths() -> Vec<&'static str> {
    Simd::available().iter().map(|path| path.name()).collect()
}

/// Ten images, one per category, without variation or re-rendering: the kernel alone.
fn fractals(bencher: Bencher, path: &str, frame: Frame, style: Style) {
    draw(bencher, path, &frame, &style, &categories());
}

/// Ten images, cycling through the categories.
fn draw<F: Formula>(bencher: Bencher, path: &str, frame: &Frame, style: &F::Style, categories: &[F]) {
    let machine = &Machine { threads: Some(1), simd: Simd::named(path).unwrap() };
    let addresses: Vec<(u64, u64)> = (0..10).map(|i| (i % categories.len() as u64, 80)).collect();
    let (mut images, mut retries) = (vec![0; 10 * frame.bytes()], vec![0; 10]);
    let job = Job { categories, seed: 0, frame, style, machine };
    bencher.counter(ItemsCount::new(10usize)).bench_local(|| {
        let samples = Samples { images: &mut images, retries: &mut retries, objects: None };
        render(&job, &addresses, &mut || false, samples).unwrap();
    });
}

fn kernel() -> Frame {
    Frame { resample_degenerate: false, ..Frame::default() }
}

fn fixed() -> Style {
    Style { draw: Draw::Patch(Patch::Fixed), ..Style::default() }
}

#[divan::bench(args = paths())]
fn patch_random_256(bencher: Bencher, path: &str) {
    fractals(bencher, path, kernel(), Style::default());
}

#[divan::bench(args = paths())]
fn patch_fixed_256(bencher: Bencher, path: &str) {
    fractals(bencher, path, kernel(), fixed());
}

#[divan::bench(args = paths())]
fn patch_random_color_256(bencher: Bencher, path: &str) {
    fractals(bencher, path, Frame { color: true, ..kernel() }, Style::default());
}

#[divan::bench(args = paths())]
fn point_256_100k(bencher: Bencher, path: &str) {
    let style = Style { draw: Draw::Point, num_points: 100_000, ..Style::default() };
    fractals(bencher, path, kernel(), style);
}

#[divan::bench(args = paths())]
fn patch_random_64_12500(bencher: Bencher, path: &str) {
    let style = Style { num_points: 12_500, ..Style::default() };
    fractals(bencher, path, Frame { height: 64, width: 64, ..kernel() }, style);
}

/// Ten of the hundred categories of Perlin-100, coarse and fine.
#[divan::bench(args = paths())]
fn perlin_100_256(bencher: Bencher, path: &str) {
    let pair = |i: u32| [f64::from(i), f64::from(1 + i * 7 % 10)];
    let noise: Vec<Perlin> = (1..=10).map(|i| Perlin::new(pair(i), 1, 0.5, 1.0).unwrap()).collect();
    draw(bencher, path, &kernel(), &NoStyle {}, &noise);
}

/// Ten of the categories of Bezier-1024, with few and with many curves.
#[divan::bench(args = paths())]
fn bezier_1024_256(bencher: Bencher, path: &str) {
    let pairs: Vec<[u64; 2]> = (0..10).map(|i| [2 + 3 * i, 1 + i * 17 % 32]).collect();
    draw(bencher, path, &kernel(), &Strokes::default(), &Bezier::from_counts(&pairs).unwrap());
}

/// Encodes ten images as PNG.
fn png(bencher: Bencher, frame: Frame, style: Style) {
    let categories = &categories();
    let machine = &Machine { threads: Some(1), simd: *Simd::available().last().unwrap() };
    let addresses: Vec<(u64, u64)> = (0..10).map(|category| (category, 80)).collect();
    let (mut images, mut retries) = (vec![0; 10 * frame.bytes()], vec![0; 10]);
    let samples = Samples { images: &mut images, retries: &mut retries, objects: None };
    let job = Job { categories, seed: 0, frame: &frame, style: &style, machine };
    render(&job, &addresses, &mut || false, samples).unwrap();
    let (height, width) = frame.output_size();
    let encode = |pixels: &[u8]| fdsl::png::encode(pixels, height, width, frame.channels()).len();
    let bytes: usize = images.chunks(frame.bytes()).map(encode).sum();
    eprintln!("{} bytes per file", bytes / 10);
    bencher
        .counter(ItemsCount::new(10usize))
        .bench_local(|| images.chunks(frame.bytes()).map(encode).sum::<usize>());
}

#[divan::bench]
fn png_gray_256(bencher: Bencher) {
    png(bencher, kernel(), Style::default());
}

#[divan::bench]
fn png_gray_fixed_256(bencher: Bencher) {
    png(bencher, kernel(), fixed());
}

#[divan::bench]
fn png_color_256(bencher: Bencher) {
    png(bencher, Frame { color: true, ..kernel() }, Style::default());
}

/// One stage of ten images of 256² and 200,000 points, one per category.
fn stage(bencher: Bencher, path: &str, run: impl Fn(&mut Stage, Simd)) {
    let simd = Simd::named(path).unwrap();
    let mut stages: Vec<Stage> = categories().iter().map(|category| Stage::new(category, simd)).collect();
    bencher
        .counter(ItemsCount::new(stages.len()))
        .bench_local(|| stages.iter_mut().for_each(|stage| run(stage, simd)));
}

struct Stage {
    table: Table,
    points: Points,
    bounds: Bounds,
    surface: LastPoint,
    pixels: Vec<u8>,
}

impl Stage {
    fn new(category: &Ifs, simd: Simd) -> Self {
        let (mut table, mut points, mut surface) =
            (Table::default(), Points::default(), LastPoint::default());
        table.build(category.maps(), category.probabilities());
        let bounds = orbit::play(&table, &mut rng(), 200_000, simd, &mut points).unwrap();
        surface.plot(&points, bounds, 256, 256, 6, simd);
        Self { table, points, bounds, surface, pixels: vec![0; 3 * 256 * 256] }
    }

    fn resolve(&mut self, masks: Masks, color: bool, simd: Simd) {
        let of = (256, 256);
        let window =
            Window { of, top: 0, left: 0, height: 256, width: 256, flip_rows: true, flip_columns: true };
        let bytes = 256 * 256 * if color { 3 } else { 1 };
        self.surface.resolve(window, Mark::Patch(masks), color, simd, &mut self.pixels[..bytes]);
    }
}

fn rng() -> Rng {
    Address { seed: 0, category: 0, index: 0 }.rng(Ifs::FORMAT, ORBIT, 0)
}

#[divan::bench(args = paths())]
fn stage_1_orbit(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| {
        let Stage { table, points, .. } = stage;
        orbit::play(table, &mut rng(), 200_000, simd, points).unwrap();
    });
}

#[divan::bench(args = paths())]
fn stage_2_plot(bencher: Bencher, path: &str) {
    stage(bencher, path, |stage, simd| stage.surface.plot(&stage.points, stage.bounds, 256, 256, 6, simd));
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

/// A thousand candidates of a search with the paper's settings.
fn search(bencher: Bencher, path: &str, sampler: Sampler) {
    let machine = Machine { threads: Some(1), simd: Simd::named(path).unwrap() };
    let search = Search { fill_rate: 1.0, max_tries: 1000, seed: 1, sampler, ..Default::default() };
    bencher
        .counter(ItemsCount::new(1000usize))
        .bench_local(|| search.run(&machine, &mut |_, _| false).unwrap_err());
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
    let released: Vec<Released> = categories().into_iter().map(Released).collect();
    draw(bencher, path, &kernel(), &ReleasedStyle::default(), &released);
}
