//! Digests of pictures: the format, drawing mode by drawing mode, on every path of the
//! processor. When one changes on purpose, `FORMAT` is raised and the commit says why.
//!
//! `FDSL_GOLDEN=folder cargo test --test golden` also writes the pictures, as PGM and PPM.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use fdsl::formula::ifs::search::Search;
use fdsl::rendering::{Crop, Draw, Patch, Sampler, Weights};
use fdsl::{Bezier, Formula, Ifs, Machine, Perlin, Rendering, Simd, render};

/// FNV-1a, 64 bits: enough to notice, and short enough to read.
fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

fn categories(simd: Simd) -> Vec<Ifs> {
    let search = Search { categories: 4, fill_rate: 0.2, seed: 1, ..Default::default() };
    let machine = Machine { threads: Some(2), simd };
    search.run::<()>(&machine, |_, _| ControlFlow::Continue(())).unwrap().categories
}

fn small() -> Rendering {
    Rendering { height: 64, width: 64, points: 12_500, ..Default::default() }
}

fn modes() -> Vec<(&'static str, Rendering, u64)> {
    let point = Draw::Point;
    let fixed = Draw::Patch(Patch::Fixed);
    let crop = |random| Some(Crop { height: 48, width: 40, random });
    vec![
        ("patch_random", small(), 0x4A1C_700B_A3FC_5780),
        ("patch_random_color", Rendering { color: true, ..small() }, 0x9171_39CB_59B5_257E),
        ("patch_fixed", Rendering { draw: fixed, ..small() }, 0xCAEA_2A8A_F440_DF16),
        ("patch_fixed_color", Rendering { draw: fixed, color: true, ..small() }, 0xD334_8F6A_D0B7_5373),
        ("point", Rendering { draw: point, ..small() }, 0xF8F3_D1CF_6291_7FE2),
        ("point_color", Rendering { draw: point, color: true, ..small() }, 0x95C5_5472_1D13_1510),
        ("crop_random", Rendering { crop: crop(true), ..small() }, 0x2D27_BA08_E7A6_0743),
        ("crop_center_color", Rendering { crop: crop(false), color: true, ..small() }, 0x3C83_6931_7795_7E0A),
        ("continuous", Rendering { weights: Weights::Continuous(0.4), ..small() }, 0x0FCD_3A44_7B77_7C0E),
        ("identity", Rendering { weights: Weights::Identity, ..small() }, 0x0E65_C5DA_7BB6_8CD7),
        ("wide_unpadded", Rendering { width: 100, pad: 0, ..small() }, 0x5C42_7A83_4E06_13BF),
        (
            "released",
            Rendering { sampler: Sampler::Released, redraw: false, ..small() },
            0x505C_0F9E_9095_9BAF,
        ),
        (
            "released_color_seeded",
            Rendering { sampler: Sampler::Released, mask_seed: Some(7), color: true, ..small() },
            0xC3B1_5A95_70DA_80A2,
        ),
        (
            "full_size",
            Rendering { points: 200_001, height: 256, width: 256, ..small() },
            0x5843_A9E1_70F2_CA62,
        ),
    ]
}

/// What is drawn in one mode: all four mirrorings, other weight rows, and one beyond the grid.
fn pictures<F: Formula>(categories: &[F], rendering: &Rendering, simd: Simd) -> Vec<u8> {
    let indices = [0, 1, 2, 3, 501, 77, 999, 123_456];
    let count = categories.len().min(4) as u64;
    let places: Vec<(u64, u64)> = (0..16).map(|i| (i % count, indices[i as usize / 2])).collect();
    let (mut pixels, mut redraws) = (vec![0; places.len() * rendering.bytes()], vec![0; places.len()]);
    let machine = Machine { threads: Some(2), simd };
    render(categories, &places, 42, rendering, &machine, &mut pixels, &mut redraws).unwrap();
    pixels
}

/// Draws `modes` on every path and compares the digests.
fn check<F: Formula>(
    family: &str,
    categories: impl Fn(Simd) -> Vec<F>,
    modes: Vec<(&'static str, Rendering, u64)>,
) {
    let mut wrong = vec![];
    for simd in Simd::available() {
        let categories = categories(simd);
        for (name, rendering, expected) in &modes {
            let rendering = rendering.clone().checked().unwrap();
            let pixels = pictures(&categories, &rendering, simd);
            if let Ok(folder) = std::env::var("FDSL_GOLDEN") {
                write_picture(Path::new(&folder), &format!("{family}_{name}"), &rendering, 16, &pixels);
            }
            if digest(&pixels) != *expected {
                wrong.push(format!("{} {family} {name}: 0x{:016X}", simd.name(), digest(&pixels)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mode_draws_what_it_always_drew() {
    check("ifs", categories, modes());
}

#[test]
fn noise_is_what_it_always_was() {
    let of = |pairs: &[[f64; 2]], octaves, persistence, contrast| -> Vec<Perlin> {
        pairs.iter().map(|&pair| Perlin::new(pair, octaves, persistence, contrast).unwrap()).collect()
    };
    let pairs = [[1.0, 1.0], [10.0, 2.0], [3.5, 36.0], [200.0, 64.0]];
    let plain = |_| of(&pairs, 1, 0.5, 1.0);
    let crop = Some(Crop { height: 48, width: 40, random: true });
    check(
        "perlin",
        plain,
        vec![
            ("gray", small(), 0xFE2A_1E34_1240_708F),
            ("color", Rendering { color: true, ..small() }, 0x919D_B858_5242_60D3),
            ("crop_random", Rendering { crop, ..small() }, 0x5747_A616_0062_BD53),
            ("wide", Rendering { width: 100, ..small() }, 0xA0C1_E70B_8B38_E1D1),
        ],
    );
    check("perlin_octaves", |_| of(&pairs, 5, 0.6, 1.7), vec![("gray", small(), 0x62BB_D369_92BA_2D5F)]);
}

#[test]
fn curves_are_what_they_always_were() {
    let curves = |_| Bezier::family(&[[2, 1], [3, 12], [13, 5], [64, 256]]).unwrap();
    let crop = Some(Crop { height: 20, width: 16, random: true });
    check(
        "bezier",
        curves,
        vec![
            ("brush", small(), 0x250B_E299_56E0_42FE),
            ("brush_color", Rendering { color: true, ..small() }, 0x02FA_4A22_314A_28B7),
            ("line", Rendering { draw: Draw::Point, ..small() }, 0x808E_0A04_ACF8_0699),
            ("crop_random", Rendering { crop, ..small() }, 0x1636_5E47_D026_D91A),
            ("wide_unpadded", Rendering { width: 100, pad: 0, ..small() }, 0x1957_DE97_758D_84ED),
        ],
    );
}

/// The categories are part of the format, too.
#[test]
fn the_search_finds_what_it_always_found() {
    for simd in Simd::available() {
        let bytes: Vec<u8> = categories(simd)
            .iter()
            .flat_map(|ifs| ifs.maps().iter().flatten().chain(ifs.probabilities()))
            .flat_map(|number| number.to_le_bytes())
            .collect();
        assert_eq!(digest(&bytes), 0x9891_286F_5E1B_C8FE, "{}: 0x{:016X}", simd.name(), digest(&bytes));
    }
}

#[test]
fn threads_and_batches_leave_no_trace() {
    let simd = *Simd::available().last().unwrap();
    let categories = categories(simd);
    let rendering = small().checked().unwrap();
    let draw = |places: &[(u64, u64)], threads| {
        let (mut pixels, mut redraws) = (vec![0; places.len() * rendering.bytes()], vec![0; places.len()]);
        let machine = Machine { threads: Some(threads), simd };
        render(&categories, places, 7, &rendering, &machine, &mut pixels, &mut redraws).unwrap();
        (pixels, redraws)
    };
    let places: Vec<(u64, u64)> = (0..256).map(|i| (i % 4, i * 31)).collect();
    let together = draw(&places, 1);
    for threads in 2..=8 {
        assert_eq!(draw(&places, threads), together);
    }
    let one_by_one: Vec<u8> = places.chunks(1).flat_map(|place| draw(place, 1).0).collect();
    assert_eq!(one_by_one, together.0);
}

fn write_picture(folder: &Path, name: &str, rendering: &Rendering, pictures: usize, pixels: &[u8]) {
    let (height, width) = rendering.output_size();
    let (kind, ending) = if rendering.color { ("P6", "ppm") } else { ("P5", "pgm") };
    std::fs::create_dir_all(folder).unwrap();
    let mut file = std::fs::File::create(folder.join(format!("{name}.{ending}"))).unwrap();
    writeln!(file, "{kind} {width} {} 255", height * pictures).unwrap();
    file.write_all(pixels).unwrap();
}
