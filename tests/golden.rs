//! Golden digests: they fix the pixels of every family and mode, on every SIMD backend. If one changes on
//! purpose, raise the family's `FORMAT` and give the reason in the commit.
//!
//! `FDSL_GOLDEN=folder cargo test --test golden` also writes the images, as PGM and PPM.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use fdsl::arrays::{Arrays, Numbers};
use fdsl::formula::bezier::{Strokes, Width};
use fdsl::formula::contour::segrcdb::{Mask, Released as SegReleased, SegRcdb, SegStyle, released_classes};
use fdsl::formula::contour::style::{Background as Behind, LineColor};
use fdsl::formula::contour::{Atom, Contour, ContourStyle};
use fdsl::formula::ifs::contractive::Contractive;
use fdsl::formula::ifs::released::{Released, ReleasedStyle};
use fdsl::formula::ifs::search::Search;
use fdsl::formula::ifs3d::search::Search as Search3d;
use fdsl::formula::ifs3d::{self, Ifs3d, View as View3d};
use fdsl::formula::interface::{Compat, Formula, NoStyle};
use fdsl::formula::leaves::{DeadLeaves, Leaves};
use fdsl::formula::part::{Part, part};
use fdsl::formula::scene::Scene;
use fdsl::formula::scene::style::{Backdrop, ObjectColor, Order, SceneStyle};
use fdsl::formula::spectrum::Spectrum;
use fdsl::formula::system::search::Sampler;
use fdsl::ifs::{Background, Change, Draw, Finish, Patch, Shading, Style, Variation, View};
use fdsl::sample::SampleObjects;
use fdsl::{Bezier, Crop, DiamondSquare, Frame, Ifs, Job, Machine, Perlin, Samples, Simd, render};

/// 64-bit FNV-1a: enough to detect a change, and short enough to read.
fn digest(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

fn categories(simd: Simd) -> Vec<Ifs> {
    let search = Search { categories: 4, fill_rate: 0.2, seed: 1, ..Default::default() };
    let machine = Machine { threads: Some(2), simd };
    search.run(&machine, &mut |_, _| false).unwrap().categories
}

/// A name, the settings, and the digest.
type Mode<S> = (&'static str, Frame, S, u64);

fn small() -> Frame {
    Frame { height: 64, width: 64, ..Frame::default() }
}

fn color() -> Frame {
    Frame { color: true, ..small() }
}

fn crop(height: usize, width: usize, random: bool) -> Frame {
    Frame { crop: Some(Crop { height, width, random }), ..small() }
}

fn wide() -> Frame {
    Frame { width: 100, ..small() }
}

fn points() -> Style {
    Style { num_points: 12_500, ..Style::default() }
}

/// The images of one mode: all four flips, several rows of the grid, and an index beyond the grid.
fn images<F: Formula>(categories: &[F], frame: &Frame, style: &F::Style, simd: Simd) -> Vec<u8> {
    let indices = [0, 1, 2, 3, 501, 77, 999, 123_456];
    let count = categories.len().min(4) as u64;
    let addresses: Vec<(u64, u64)> = (0..16).map(|i| (i % count, indices[i as usize / 2])).collect();
    draw(categories, &addresses, 42, frame, style, Machine { threads: Some(2), simd }).0
}

/// Renders samples; returns the images and the number of times each was re-rendered.
fn draw<F: Formula>(
    categories: &[F],
    addresses: &[(u64, u64)],
    seed: u64,
    frame: &Frame,
    style: &F::Style,
    machine: Machine,
) -> (Vec<u8>, Vec<u8>) {
    let (mut images, mut retries) = (vec![0; addresses.len() * frame.bytes()], vec![0; addresses.len()]);
    let samples = Samples { images: &mut images, retries: &mut retries, objects: None };
    let job = Job { categories, seed, frame, style, machine: &machine };
    render(&job, addresses, &mut || false, samples).unwrap();
    (images, retries)
}

/// Renders the modes on every backend and compares the digests.
fn check<F: Formula>(family: &str, categories: impl Fn(Simd) -> Vec<F>, modes: &[Mode<F::Style>]) {
    let mut wrong = vec![];
    for simd in Simd::available() {
        let categories = categories(simd);
        for (name, frame, style, expected) in modes {
            let frame = frame.clone().checked().unwrap();
            let images = images(&categories, &frame, style, simd);
            if let Ok(folder) = std::env::var("FDSL_GOLDEN") {
                write_images(Path::new(&folder), &format!("{family}_{name}"), &frame, 16, &images);
            }
            if digest(&images) != *expected {
                wrong.push(format!("{} {family} {name}: 0x{:016X}", simd.name(), digest(&images)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fractals_have_not_changed() {
    let point = Style { draw: Draw::Point, ..points() };
    let fixed = Style { draw: Draw::Patch(Patch::Fixed), ..points() };
    let varied = |variation| Style { variation, ..points() };
    let full_size = Frame { height: 256, width: 256, ..small() };
    let cropped_color = Frame { color: true, ..crop(48, 40, false) };
    check::<Ifs>(
        "ifs",
        categories,
        &[
            ("patch_random", small(), points(), 0x4A1C_700B_A3FC_5780),
            ("patch_random_color", color(), points(), 0x9171_39CB_59B5_257E),
            ("patch_fixed", small(), fixed.clone(), 0xCAEA_2A8A_F440_DF16),
            ("patch_fixed_color", color(), fixed, 0xD334_8F6A_D0B7_5373),
            ("point", small(), point.clone(), 0xF8F3_D1CF_6291_7FE2),
            ("point_color", color(), point, 0x95C5_5472_1D13_1510),
            ("crop_random", crop(48, 40, true), points(), 0x2D27_BA08_E7A6_0743),
            ("crop_small", crop(16, 16, true), points(), 0x6250_E1F9_CFCF_3200),
            ("crop_center_odd", crop(33, 35, false), points(), 0x8C45_9499_1832_9D54),
            ("crop_center_color", cropped_color, points(), 0x3C83_6931_7795_7E0A),
            ("continuous", small(), varied(Variation::Continuous(0.4)), 0x0FCD_3A44_7B77_7C0E),
            ("identity", small(), varied(Variation::Identity), 0x0E65_C5DA_7BB6_8CD7),
            ("wide_unpadded", wide(), Style { margin: 0, ..points() }, 0x5C42_7A83_4E06_13BF),
            ("full_size", full_size, Style { num_points: 200_001, ..points() }, 0x5843_A9E1_70F2_CA62),
        ],
    );
}

/// Of a category that diverges, with every variation.
#[test]
fn fallbacks_have_not_changed() {
    let hills = Finish { background: Some(Background::DiamondSquare), blur: 0.5 };
    let once = Frame { resample_degenerate: false, ..small() };
    check::<Ifs>(
        "ifs_diverging",
        |_| vec![Ifs::new(vec![[2.0, 0.0, 0.0, 2.0, 1.0, 1.0]], vec![1.0]).unwrap()],
        &[
            ("plain", small(), points(), 0x22C9_A847_53A5_DED5),
            ("once", once, points(), 0x2C24_254C_DA4E_DDB5),
            ("background", color(), Style { finish: hills, ..points() }, 0xF6E7_E17A_1470_0B1D),
        ],
    );
}

#[test]
fn densities_have_not_changed() {
    let fixed = Style { draw: Draw::Patch(Patch::Fixed), shading: Shading::Density, ..points() };
    let random = Style { draw: Draw::Patch(Patch::Random), ..fixed.clone() };
    let point = Style { draw: Draw::Point, ..fixed.clone() };
    let any = Style { shading: Shading::Any, ..fixed.clone() };
    let solid = Style { draw: Draw::Patch(Patch::Solid), ..points() };
    let changed = |change| Style { variation: Variation::OneMap(change, 0.5), ..point.clone() };
    let view = View { zoom: 2.0, shift: 0.2, transpose: true };
    let viewed = Style { view, ..points() };
    let behind = Finish { background: Some(Background::DiamondSquare), blur: 0.5 };
    let program = Style {
        variation: Variation::OneMap(Change::Scale, 0.1),
        margin: 0,
        view,
        finish: behind,
        ..fixed.clone()
    };
    check::<Ifs>(
        "density",
        |_| Contractive { seed: 1, min_maps: 2, max_maps: 4, sum: None }.sample(4, &mut || false).unwrap(),
        &[
            ("fixed", small(), fixed.clone(), 0xAAC2_F0AC_7A33_E563),
            ("fixed_color", color(), fixed, 0xB32F_5664_D70C_DF53),
            ("random", small(), random, 0x075D_5328_62F0_232D),
            (
                "point_color",
                Frame { color: true, ..crop(48, 40, true) },
                point.clone(),
                0x93B7_DF71_F5E0_F734,
            ),
            ("any", wide(), any, 0xB754_AB73_A5DC_F7E8),
            ("solid_color", color(), solid, 0x97EF_86D8_0883_C1B1),
            ("svd", small(), changed(Change::Svd), 0x0232_BD1F_A36B_7576),
            ("sval", small(), changed(Change::Sval), 0x6BA4_77DA_0858_C757),
            ("viewed_color", color(), viewed, 0x0515_64E0_FECA_6DFB),
            (
                "program",
                Frame { resample_degenerate: false, ..color() },
                program.clone(),
                0x02A3_4EFA_B646_1EE6,
            ),
            ("program_gray", wide(), program, 0xD65E_5EAE_BF74_0F86),
        ],
    );
}

#[test]
fn released_images_have_not_changed() {
    let once = Frame { resample_degenerate: false, ..small() };
    let style = |mask_seed| ReleasedStyle { points: points(), mask_seed };
    check::<Released>(
        "released",
        |simd| categories(simd).into_iter().map(Released).collect(),
        &[
            ("gray", once, style(None), 0x505C_0F9E_9095_9BAF),
            ("color_seeded", color(), style(Some(7)), 0xC3B1_5A95_70DA_80A2),
        ],
    );
}

#[test]
fn noise_has_not_changed() {
    let of = |pairs: &[[f64; 2]], octaves, persistence, contrast| -> Vec<Perlin> {
        pairs.iter().map(|&pair| Perlin::new(pair, octaves, persistence, contrast).unwrap()).collect()
    };
    let pairs = [[1.0, 1.0], [10.0, 2.0], [3.5, 36.0], [200.0, 64.0]];
    check(
        "perlin",
        |_| of(&pairs, 1, 0.5, 1.0),
        &[
            ("gray", small(), NoStyle {}, 0xFE2A_1E34_1240_708F),
            ("color", color(), NoStyle {}, 0x919D_B858_5242_60D3),
            ("crop_random", crop(48, 40, true), NoStyle {}, 0x5747_A616_0062_BD53),
            ("wide", wide(), NoStyle {}, 0xA0C1_E70B_8B38_E1D1),
        ],
    );
    let octaves = [("gray", small(), NoStyle {}, 0x62BB_D369_92BA_2D5F)];
    check("perlin_octaves", |_| of(&pairs, 5, 0.6, 1.7), &octaves);
}

#[test]
fn hills_have_not_changed() {
    check(
        "diamond-square",
        |_| [0.0, 0.4, 0.8, 10.0].map(|decay| DiamondSquare::new(decay).unwrap()).to_vec(),
        &[
            ("gray", small(), NoStyle {}, 0x0DDE_4561_8EB0_908F),
            ("color", color(), NoStyle {}, 0x5D7C_86E4_C401_C03A),
            ("crop_random", crop(48, 40, true), NoStyle {}, 0xFA91_5541_F0FD_1E1B),
            ("wide", wide(), NoStyle {}, 0xC72B_4152_3EF7_C09D),
        ],
    );
}

#[test]
fn curves_have_not_changed() {
    let brush = Strokes::default;
    check(
        "bezier",
        |_| Bezier::from_counts(&[[2, 1], [3, 12], [13, 5], [64, 256]]).unwrap(),
        &[
            ("brush", small(), brush(), 0x250B_E299_56E0_42FE),
            ("brush_color", color(), brush(), 0x02FA_4A22_314A_28B7),
            ("line", small(), Strokes { draw: Width::Point, ..brush() }, 0x808E_0A04_ACF8_0699),
            ("crop_random", crop(20, 16, true), brush(), 0x1636_5E47_D026_D91A),
            ("wide_unpadded", wide(), Strokes { margin: 0, ..brush() }, 0x1957_DE97_758D_84ED),
        ],
    );
}

#[test]
fn contours_have_not_changed() {
    let rows = [
        [3.0, 1.0, 0.0, 8.0],
        [14.0, 196.0, 0.25, 0.01],
        [126.0, 107.0, 2.85, 0.0],
        [1000.0, 20.0, 4.0, 0.1],
    ];
    check(
        "rcdb",
        |_| rows.iter().map(|&row| Contour::new(row).unwrap()).collect(),
        &[
            ("gray", small(), ContourStyle::default(), 0x8F3B_9798_286C_0033),
            ("color", color(), ContourStyle::default(), 0xFB85_267A_7275_D233),
            ("crop_random", crop(20, 16, true), ContourStyle::default(), 0x9976_92F8_5A96_D62C),
            ("wide", wide(), ContourStyle::default(), 0x5DB5_A934_5378_01FA),
        ],
    );
}

#[test]
fn styled_contours_have_not_changed() {
    let thick = || ContourStyle { line_width: 3, ..ContourStyle::default() };
    let style = ContourStyle {
        background: Some(Behind::Black),
        line_color: LineColor::Cycle,
        centered: true,
        ..thick()
    };
    check(
        "rcdb_styled",
        |_| vec![Contour::new([14.0, 20.0, 0.25, 0.5]).unwrap()],
        &[
            ("thick", small(), thick(), 0xB19E_3684_4500_C9C9),
            ("centered_cycle", color(), style.clone(), 0xF781_1AFE_EB23_318D),
            (
                "random",
                color(),
                ContourStyle { line_color: LineColor::Random, ..style },
                0x5B57_916F_524B_62A9,
            ),
        ],
    );
}

#[test]
fn atoms_have_not_changed() {
    let rows = [
        [200.0, 60.0, 1.0, 0.5, 3.0, 17.0, 60.0, 1.0, 1.0],
        [1000.0, 200.0, 0.0, 1.6, 0.0, 20.0, 30.0, 0.5, 2.0],
        [3.0, 1.0, 16.0, 16.0, 100.0, 1.0, 0.0, 4.0, 0.0],
    ];
    check(
        "visualatom",
        |_| rows.iter().map(|&row| Atom::new(row).unwrap()).collect(),
        &[
            ("gray", small(), ContourStyle::default(), 0x0127_F148_E571_8A07),
            ("color", color(), ContourStyle::default(), 0x3DF1_8352_CFCC_9F97),
            ("crop_random", crop(20, 16, true), ContourStyle::default(), 0x633B_7F54_0F08_6D01),
            (
                "wide",
                wide(),
                ContourStyle { line_width: 2, ..ContourStyle::default() },
                0x3150_7266_C4DD_538E,
            ),
        ],
    );
}

fn categories_3d(simd: Simd, sampler: Sampler) -> Vec<Ifs3d> {
    let search = Search3d { categories: 4, seed: 1, sampler, ..Default::default() };
    let machine = Machine { threads: Some(2), simd };
    search.run(&machine, &mut |_, _| false).unwrap().categories
}

#[test]
fn fractals_in_space_are_what_they_always_were() {
    let views = || ifs3d::Style { num_points: 2000, ..Default::default() };
    let still = |frame| Frame { flips: false, ..frame };
    let squares = ifs3d::Style { point_size: 3, shade: true, ..views() };
    let released = ifs3d::Style { compat: Some(Compat::Released), ..views() };
    let full_size = Frame { height: 224, width: 224, ..still(small()) };
    check(
        "ifs3d",
        |simd| categories_3d(simd, Sampler::Fdsl),
        &[
            ("fixed", still(small()), views(), 0x25D6_D117_68F4_697B),
            ("flips", small(), views(), 0xF1F0_B0CF_145D_4DA8),
            (
                "random",
                still(small()),
                ifs3d::Style { view: View3d::Random, ..views() },
                0xDF2A_6DF5_3035_1E0E,
            ),
            ("shade_color", color(), ifs3d::Style { shade: true, ..views() }, 0x0182_FFE0_65DD_B66B),
            ("squares", small(), squares, 0x1A87_D3B5_4E25_8B38),
            ("crop_random", crop(48, 40, true), views(), 0xEF34_3698_9099_B2F4),
            ("crop_small", crop(16, 16, true), views(), 0xCA07_2079_6F67_BE46),
            ("wide", wide(), ifs3d::Style { variation: None, jitter: 0.0, ..views() }, 0x7A1A_4EB1_D5C5_3C1A),
            (
                "two_axes",
                still(small()),
                ifs3d::Style { view: View3d::TwoAxis, ..views() },
                0x507B_B152_671F_F463,
            ),
            (
                "three_axes",
                small(),
                ifs3d::Style { view: View3d::ThreeAxis, ..views() },
                0x2D01_27B2_5183_4DAA,
            ),
            ("released", still(small()), released, 0x5814_C333_43D5_2257),
            ("full_size", full_size, ifs3d::Style::default(), 0xA741_986D_DBF5_4910),
        ],
    );
}

/// Scenes of curves and contours, four categories of each.
fn scenes() -> Vec<Scene> {
    let frame = r#"{"size": [64, 64], "crop": null, "crop_position": "random", "flips": true,
        "color": false, "resample_degenerate": true}"#;
    let part = |family: &str, style: &str| {
        format!(r#"{{"family": "{family}", "settings": {{"frame": {frame}, "style": {style}}}}}"#)
    };
    let curves = part("bezier", r#"{"draw": "patch", "margin": 6}"#);
    let rings =
        part("rcdb", r#"{"background": "black", "line_width": 1, "line_color": "gray", "centered": false}"#);
    let mut arrays = Arrays::default();
    arrays.insert("0:counts", vec![4, 2], Numbers::U64(vec![2, 1, 3, 12, 13, 5, 64, 99]));
    let contours = [[3, 1, 0, 8], [14, 196, 1, 0], [126, 107, 2, 0], [1000, 20, 4, 1]];
    arrays.insert(
        "1:contours",
        vec![4, 4],
        Numbers::F64(contours.as_flattened().iter().map(|&n| n.into()).collect()),
    );
    let both = format!(r#"{{"parts": [{curves}, {rings}], "backdrop": null}}"#);
    arrays.insert("scene", vec![], Numbers::Text(both));
    Scene::family(&arrays).unwrap()
}

#[test]
fn scenes_have_not_changed() {
    let style = || SceneStyle { min_objects: 2, max_objects: 6, ..SceneStyle::default() };
    let noisy = SceneStyle {
        backdrop: Some(Backdrop::Noise),
        object_color: ObjectColor::Random,
        order: Order::SmallInFront,
        max_covered: 0.3,
        ..style()
    };
    let cropped_color = Frame { color: true, ..crop(48, 40, true) };
    check(
        "scene",
        |_| scenes().into_iter().step_by(2).collect(),
        &[
            ("gray", small(), style(), 0xD28E_392D_C271_DA4A),
            ("color", color(), style(), 0x1665_CC94_E3C8_109F),
            ("noise_random_color_crop", cropped_color, noisy.clone(), 0xF1C4_A57D_34B5_A251),
            (
                "random_gray_wide",
                wide(),
                SceneStyle { order: Order::Random, ..noisy.clone() },
                0xBA72_8B4D_6729_C896,
            ),
            (
                "resized_color",
                color(),
                SceneStyle { render_scale: Some(0.5), ..style() },
                0x19C4_3A75_2F5B_F90B,
            ),
            (
                "resized_blurred_wide",
                wide(),
                SceneStyle { render_scale: Some(0.3), blur: 0.7, ..noisy },
                0xBFFE_9127_2DF3_E015,
            ),
        ],
    );
}

#[test]
fn leaves_are_what_they_always_were() {
    let rows = [[0.0, 3.0, 0.03, 1.0], [6.0, 3.0, 0.03, 1.0], [5.0, 2.0, 0.1, 0.4], [2.0, 5.0, 0.02, 1.0]];
    let released = Leaves { compat: Some(Compat::Released) };
    check(
        "deadleaves",
        |_| DeadLeaves::of_rows(&rows, None).unwrap(),
        &[
            ("gray", small(), Leaves::default(), 0x45FC_A6E6_B0DD_F6AB),
            ("color", color(), Leaves::default(), 0x9628_A963_B386_F263),
            ("crop_random", crop(48, 40, true), Leaves::default(), 0x98BD_D100_5B26_8ABF),
            ("wide", wide(), Leaves::default(), 0x99E0_6461_FE6C_AECD),
            ("released", color(), released, 0xC664_7334_D3CA_C658),
        ],
    );
    let squares = [[1.0, 3.0, 0.03, 1.0], [3.0, 0.5, 0.001, 0.002], [4.0, 10.0, 0.2, 0.3]];
    let modes = [("color", color(), Leaves::default(), 0x8D77_3ED6_B20F_0BC2)];
    check("deadleaves_more", |_| DeadLeaves::of_rows(&squares, None).unwrap(), &modes);
    let plain = Frame { flips: false, ..Frame::default() };
    let spectra: Arc<dyn Part> = Arc::from(part(spectra(), plain, NoStyle {}));
    let modes = [("color", color(), Leaves::default(), 0x6FAE_B473_BD8B_80CF)];
    check("deadleaves_textured", |_| DeadLeaves::of_rows(&rows, Some(spectra.clone())).unwrap(), &modes);
}

fn spectra() -> Vec<Spectrum> {
    let pairs = [[0.5, 0.5], [3.5, 1.0], [0.0, 2.0], [8.0, 8.0]];
    pairs.iter().map(|&pair| Spectrum::new(pair).unwrap()).collect()
}

#[test]
fn spectra_are_what_they_always_were() {
    check(
        "spectrum",
        |_| spectra(),
        &[
            ("gray", small(), NoStyle {}, 0x7FBA_9BEC_A775_40DB),
            ("color", color(), NoStyle {}, 0x9B35_5AB5_3569_519E),
            ("crop_random", crop(48, 40, true), NoStyle {}, 0xF2E0_8ABE_DED3_7B74),
            ("wide", wide(), NoStyle {}, 0x7E9B_84AA_7677_9088),
            ("smallest", Frame { height: 16, width: 17, ..small() }, NoStyle {}, 0x965C_6D3F_F811_3381),
        ],
    );
}

/// The categories are part of the format, too.
#[test]
fn the_search_in_space_finds_what_it_always_found() {
    for (sampler, expected) in
        [(Sampler::Fdsl, 0x1193_5EE4_5064_3258), (Sampler::Released, 0x2287_0CDF_AF09_1CBF)]
    {
        for simd in Simd::available() {
            // Of a probability the last bit is the platform's, where the released code is replayed.
            let bytes: Vec<u8> = categories_3d(simd, sampler)
                .iter()
                .flat_map(|ifs| ifs.maps().iter().flatten())
                .flat_map(|number| number.to_le_bytes())
                .collect();
            assert_eq!(digest(&bytes), expected, "{}: 0x{:016X}", simd.name(), digest(&bytes));
        }
    }
}

#[test]
fn ring_scenes_have_not_changed() {
    let mut arrays = Arrays::default();
    let rows = released_classes(4);
    arrays.insert("classes", vec![4, 7], Numbers::F64(rows.into_iter().flatten().collect()));
    let few = || SegStyle { objects: 5, mask: Mask::Filled };
    check(
        "segrcdb",
        |_| SegRcdb::family(&arrays).unwrap(),
        &[
            ("gray", small(), SegStyle::default(), 0xD7BF_61B5_E111_43EE),
            ("color_few", color(), few(), 0x5546_941F_44FF_6EF7),
            ("crop_random", crop(20, 16, true), few(), 0xFD41_AE03_689A_B50A),
            ("wide", wide(), few(), 0x0E4B_A9D5_E8C4_8FA1),
        ],
    );
    let once = Frame { resample_degenerate: false, flips: false, ..small() };
    check(
        "segrcdb_released",
        |_| SegReleased::family(&arrays).unwrap(),
        &[("gray", once, few(), 0x9829_D48C_59CD_1392)],
    );
}

/// The maps of objects are part of the format, like the pixels.
#[test]
fn the_maps_of_objects_have_not_changed() {
    let mut arrays = Arrays::default();
    arrays.insert("classes", vec![9, 7], Numbers::F64(released_classes(9).into_iter().flatten().collect()));
    let rings = SegRcdb::family(&arrays).unwrap();
    let map = |mask| map(&rings, &SegStyle { objects: 9, mask });
    let found = [
        map(Mask::Strokes),
        map(Mask::Between),
        map(Mask::Filled),
        self::map(&scenes(), &SceneStyle { min_objects: 3, max_objects: 9, ..SceneStyle::default() }),
    ];
    let expected =
        [0x08A3_691F_20FB_073F, 0x886B_6DA0_31BB_222D, 0x16F6_1213_8CB3_A835, 0xD23D_888F_A97D_F779];
    assert_eq!(found, expected, "{found:#018X?}");
}

/// Returns the digest of the maps and categories of objects.
fn map<F: Formula>(categories: &[F], style: &F::Style) -> u64 {
    let frame = &Frame { color: true, ..crop(48, 40, true) };
    let addresses: Vec<(u64, u64)> = (0..16).map(|i| (i % categories.len() as u64, i * 7)).collect();
    let (mut images, mut retries) = (vec![0; addresses.len() * frame.bytes()], vec![0; addresses.len()]);
    let mut maps = vec![0; images.len() / 3];
    let mut of_objects = vec![vec![]; addresses.len()];
    let objects = Some(SampleObjects { maps: &mut maps, categories: &mut of_objects });
    let samples = Samples { images: &mut images, retries: &mut retries, objects };
    let machine = &Machine { threads: Some(2), simd: Simd::PLAIN };
    render(&Job { categories, seed: 42, frame, style, machine }, &addresses, &mut || false, samples).unwrap();
    let numbers = of_objects.iter().flatten().map(|&category| category as u16); // at most 9
    digest(&maps.into_iter().chain(numbers).flat_map(u16::to_le_bytes).collect::<Vec<_>>())
}

/// The categories that a search finds are part of the format, too.
#[test]
fn the_search_finds_the_same_categories() {
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
fn images_do_not_depend_on_threads_or_batches() {
    let simd = *Simd::available().last().unwrap();
    let categories = categories(simd);
    let (frame, style) = (small(), points());
    let draw = |addresses: &[(u64, u64)], threads| {
        draw(&categories, addresses, 7, &frame, &style, Machine { threads: Some(threads), simd })
    };
    let addresses: Vec<(u64, u64)> = (0..256).map(|i| (i % 4, i * 31)).collect();
    let batch = draw(&addresses, 1);
    for threads in 2..=8 {
        assert_eq!(draw(&addresses, threads), batch);
    }
    let one_by_one: Vec<u8> = addresses.chunks(1).flat_map(|address| draw(address, 1).0).collect();
    assert_eq!(one_by_one, batch.0);
}

fn write_images(folder: &Path, name: &str, frame: &Frame, count: usize, pixels: &[u8]) {
    let (height, width) = frame.output_size();
    let (magic, extension) = if frame.color { ("P6", "ppm") } else { ("P5", "pgm") };
    std::fs::create_dir_all(folder).unwrap();
    let mut file = std::fs::File::create(folder.join(format!("{name}.{extension}"))).unwrap();
    writeln!(file, "{magic} {width} {} 255", height * count).unwrap();
    file.write_all(pixels).unwrap();
}
