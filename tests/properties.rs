//! Properties of any category, including diverging and degenerate ones.

use fdsl::arrays::{Arrays, Numbers};
use fdsl::formula::bezier::{Strokes, Width};
use fdsl::formula::contour::segrcdb::{Mask, SegRcdb, SegStyle};
use fdsl::formula::contour::{Atom, Contour, ContourStyle};
use fdsl::formula::ifs::released::{Released, ReleasedStyle};
use fdsl::formula::ifs3d::{self, Ifs3d, View as View3d};
use fdsl::formula::interface::{Compat, Formula, NoStyle};
use fdsl::formula::leaves::{DeadLeaves, Leaves};
use fdsl::formula::scene::Scene;
use fdsl::formula::scene::style::{ObjectColor, Order, SceneStyle};
use fdsl::formula::spectrum::Spectrum;
use fdsl::ifs::{Background, Change, Draw, Finish, Patch, Shading, Style, Variation, View};
use fdsl::sample::SampleObjects;
use fdsl::{Bezier, Crop, DiamondSquare, Frame, Ifs, Job, Machine, Perlin, Samples, Simd, render};
use proptest::prelude::*;

/// A map parameter: mostly in the paper's range, sometimes 0, sometimes huge or tiny.
fn parameter() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => -1.0..1.0f64,
        6 => -4.0..4.0f64,
        3 => Just(0.0),
        1 => prop_oneof![Just(1e300), Just(-1e300), Just(1e-300), Just(f64::MAX), Just(1e10)],
    ]
}

fn category() -> impl Strategy<Value = Ifs> {
    prop::collection::vec((prop::array::uniform6(parameter()), 0.0..1.0f64), 1..13).prop_map(|rows| {
        let (maps, mut weights): (Vec<_>, Vec<f64>) = rows.into_iter().unzip();
        weights[0] += 1e-3; // not all of them may be 0
        let sum: f64 = weights.iter().sum();
        Ifs::new(maps, weights.iter().map(|weight| weight / sum).collect()).unwrap()
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let crop = prop::option::of((1..16usize, 1..16usize, any::<bool>()));
    (16..40usize, 16..40usize, any::<bool>(), crop, any::<bool>()).prop_map(
        |(height, width, color, crop, flips)| {
            let crop = crop.map(|(height, width, random)| Crop { height, width, random });
            Frame { height, width, color, crop, flips, ..Frame::default() }.checked().unwrap()
        },
    )
}

fn style() -> impl Strategy<Value = Style> {
    let patch = prop_oneof![Just(Patch::Random), Just(Patch::Fixed), Just(Patch::Solid)];
    let draw = prop_oneof![1 => Just(Draw::Point), 2 => patch.prop_map(Draw::Patch)];
    let variation = prop_oneof![
        Just(Variation::Identity),
        Just(Variation::Grid(0.4)),
        Just(Variation::Grid(0.5)),
        Just(Variation::Continuous(1.0))
    ];
    (1..700usize, 0..8usize, draw, variation).prop_map(|(num_points, margin, draw, variation)| Style {
        num_points,
        draw,
        variation,
        margin,
        ..Style::default()
    })
}

/// The settings that need not leave a pixel black or gray.
fn dense() -> impl Strategy<Value = Style> {
    let shading = prop_oneof![Just(Shading::Last), Just(Shading::Density)];
    let change = prop_oneof![Just(Change::Scale), Just(Change::Svd), Just(Change::Sval)];
    let changed = (change, 0.01..=1.0f64).prop_map(|(change, w)| Variation::OneMap(change, w));
    let variation = prop_oneof![1 => Just(Variation::Identity), 3 => changed];
    let view = (1.0..16.0f64, 0.0..1.0f64, any::<bool>(), any::<bool>()).prop_map(
        |(zoom, shift, transpose, whole)| {
            if whole { View { transpose, ..View::default() } } else { View { zoom, shift, transpose } }
        },
    );
    let finish = (any::<bool>(), 0.0..1.0f64)
        .prop_map(|(behind, blur)| Finish { background: behind.then_some(Background::DiamondSquare), blur });
    (style(), shading, variation, view, finish).prop_map(|(style, shading, variation, view, finish)| Style {
        shading,
        variation,
        view,
        finish,
        ..style
    })
}

fn strokes() -> impl Strategy<Value = Strokes> {
    (prop_oneof![Just(Width::Point), Just(Width::Patch)], 0..8usize)
        .prop_map(|(draw, margin)| Strokes { draw, margin })
}

fn noise() -> impl Strategy<Value = Perlin> {
    let frequency = prop_oneof![1.0..40.0f64, 1e-3..4096.0f64];
    ([frequency.clone(), frequency], 1..6usize, 0.01..1.0f64, 0.1..100.0f64).prop_map(
        |(frequency, octaves, persistence, contrast)| {
            Perlin::new(frequency, octaves, persistence, contrast).unwrap()
        },
    )
}

fn hills() -> impl Strategy<Value = DiamondSquare> {
    (0.0..10.0f64).prop_map(|decay| DiamondSquare::new(decay).unwrap())
}

fn curves() -> impl Strategy<Value = Bezier> {
    (2..65u64, 1..20u64)
        .prop_map(|(points, curves)| Bezier::from_counts(&[[points, curves]]).unwrap().remove(0))
}

fn contour_numbers() -> impl Strategy<Value = [f64; 4]> {
    (3..1001u32, 1..6u32, 0.0..16.0f64, 0.0..16.0f64)
        .prop_map(|(n, rings, noise, step)| [n.into(), rings.into(), noise, step])
}

fn contours() -> impl Strategy<Value = Contour> {
    contour_numbers().prop_map(|row| Contour::new(row).unwrap())
}

fn atoms() -> impl Strategy<Value = Atom> {
    let waves = [0..101u32, 0..101u32].prop_map(|waves| waves.map(f64::from));
    (contour_numbers(), waves, 0.0..256.0f64, [0.0..4.0f64, 0.0..4.0f64]).prop_map(
        |([n, rings, noise, step], [n1, n2], radius, [x, y])| {
            Atom::new([n, rings, noise, step, n1, n2, radius, x, y]).unwrap()
        },
    )
}

fn contour_style() -> impl Strategy<Value = ContourStyle> {
    (1..5usize, any::<bool>()).prop_map(|(line_width, centered)| ContourStyle {
        line_width,
        centered,
        ..ContourStyle::default()
    })
}

fn leaves() -> impl Strategy<Value = DeadLeaves> {
    (0..7u32, 0.1..10.0f64, 0.001..0.3f64, 0.001..0.7f64).prop_map(|(shape, exponent, min, more)| {
        DeadLeaves::of_rows(&[[shape.into(), exponent, min, min + more]], None).unwrap().remove(0)
    })
}

fn spectra() -> impl Strategy<Value = Spectrum> {
    (0.0..8.0f64, 0.0..8.0f64).prop_map(|(x, y)| Spectrum::new([x, y]).unwrap())
}

fn system_in_space() -> impl Strategy<Value = Ifs3d> {
    let map = (prop::array::uniform6(parameter()), prop::array::uniform6(parameter()));
    prop::collection::vec((map, 0.0..1.0f64), 1..13).prop_map(|rows| {
        let (halves, mut chances): (Vec<_>, Vec<f64>) = rows.into_iter().unzip();
        let maps =
            halves.into_iter().map(|(a, b)| std::array::from_fn(|i| if i < 6 { a[i] } else { b[i - 6] }));
        chances[0] += 1e-3; // one of them is chosen
        let sum: f64 = chances.iter().sum();
        Ifs3d::new(maps.collect(), chances.iter().map(|chance| chance / sum).collect()).unwrap()
    })
}

fn views() -> impl Strategy<Value = ifs3d::Style> {
    let view = prop_oneof![
        Just(View3d::Fixed),
        Just(View3d::TwoAxis),
        Just(View3d::ThreeAxis),
        Just(View3d::Random)
    ];
    let compat = prop_oneof![3 => Just(None), 1 => Just(Some(Compat::Released))];
    let variation = prop::option::of(0.0..=1.0f64);
    (2..700usize, 1..6usize, any::<bool>(), view, 0.0..180.0f64, variation, compat).prop_map(
        |(num_points, point_size, shade, view, jitter, variation, compat)| ifs3d::Style {
            num_points,
            point_size,
            shade,
            view,
            jitter,
            variation,
            compat,
        },
    )
}

fn ring_class() -> impl Strategy<Value = [f64; 7]> {
    let wide = (3..300u32, 1..6u32, 0.0..16.0f64, 0.0..16.0f64, 0.0..256.0f64, [0.0..4.0f64, 0.0..4.0f64]);
    wide.prop_map(|(n, rings, noise, step, radius, [x, y])| {
        [n.into(), rings.into(), noise, step, radius, x, y]
    })
}

fn ring_mask() -> impl Strategy<Value = Mask> {
    prop_oneof![Just(Mask::Strokes), Just(Mask::Between), Just(Mask::Filled)]
}

fn scene_style() -> impl Strategy<Value = SceneStyle> {
    let order = prop_oneof![Just(Order::OwnInFront), Just(Order::Random), Just(Order::SmallInFront)];
    let color = prop_oneof![Just(ObjectColor::Own), Just(ObjectColor::Random)];
    let drawn = prop::option::of(0.05..1.0f64);
    (1..4u64, 0..6u64, 0.05..0.5f64, 0.0..0.5f64, 0.0..0.95f64, 0.0..1.0f64, order, color, drawn).prop_map(
        |(min_objects, more, min_scale, larger, overhang, max_covered, order, object_color, render_scale)| {
            SceneStyle {
                min_objects,
                max_objects: min_objects + more,
                min_scale,
                max_scale: min_scale + larger,
                overhang,
                order,
                max_covered,
                object_color,
                render_scale,
                ..SceneStyle::default()
            }
        },
    )
}

/// A scene of one category of curves and one of contours.
fn scene([points, curves]: [u64; 2], [vertices, rings, noise, step]: [u32; 4]) -> Vec<Scene> {
    let frame = r#"{"size": [32, 32], "crop": null, "crop_position": "random", "flips": true,
        "color": false, "resample_degenerate": true}"#;
    let part = |family: &str, style: &str| {
        format!(r#"{{"family": "{family}", "settings": {{"frame": {frame}, "style": {style}}}}}"#)
    };
    let one = part("bezier", r#"{"draw": "patch", "margin": 6}"#);
    let other =
        part("rcdb", r#"{"background": "black", "line_width": 1, "line_color": "gray", "centered": false}"#);
    let mut arrays = Arrays::default();
    arrays.insert("0:counts", vec![1, 2], Numbers::U64(vec![points, curves]));
    let row = [vertices, rings, noise, step].map(f64::from);
    arrays.insert("1:contours", vec![1, 4], Numbers::F64(row.to_vec()));
    let both = format!(r#"{{"parts": [{one}, {other}], "backdrop": null}}"#);
    arrays.insert("scene", vec![], Numbers::Text(both));
    Scene::family(&arrays).unwrap()
}

/// Renders on every backend and checks that the images are equal and not blank.
fn on_every_path<F: Formula>(
    category: F,
    index: u64,
    frame: &Frame,
    style: &F::Style,
    background: u8,
) -> Result<Vec<u8>, TestCaseError> {
    let expected = draw(&category, index, frame, style, Simd::PLAIN);
    prop_assert!(expected.0.iter().any(|&pixel| pixel != background), "blank");
    for simd in Simd::available() {
        prop_assert_eq!(&draw(&category, index, frame, style, simd), &expected);
    }
    Ok(expected.0)
}

fn draw<F: Formula>(category: &F, index: u64, frame: &Frame, style: &F::Style, simd: Simd) -> (Vec<u8>, u8) {
    let (mut image, mut retries) = (vec![0xAA; frame.bytes()], vec![0]);
    let machine = &Machine { threads: Some(1), simd };
    let job = Job { categories: std::slice::from_ref(category), seed: 3, frame, style, machine };
    let samples = Samples { images: &mut image, retries: &mut retries, objects: None };
    render(&job, &[(0, index)], &mut || false, samples).unwrap();
    (image, retries[0])
}

fn gray(frame: &Frame, image: &[u8]) -> bool {
    frame.color || image.iter().all(|&pixel| pixel == 0 || pixel == 127)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_fractal_is_the_same_on_every_path_and_not_blank(ifs in category(), frame in frame(), style in style(), index in 0..3000u64) {
        let image = on_every_path(ifs, index, &frame, &style, 0)?;
        prop_assert!(gray(&frame, &image));
    }

    #[test]
    fn any_density_is_the_same_on_every_path(ifs in category(), frame in frame(), style in dense(), index in 0..3000u64) {
        let expected = draw(&ifs, index, &frame, &style, Simd::PLAIN);
        for simd in Simd::available() {
            prop_assert_eq!(&draw(&ifs, index, &frame, &style, simd), &expected);
        }
    }

    #[test]
    fn any_image_that_nothing_erases_is_gray_and_not_blank(ifs in category(), frame in frame(), style in style(), index in 0..3000u64) {
        let frame = Frame { color: false, ..frame };
        let image = on_every_path(ifs, index, &frame, &Style { shading: Shading::Any, ..style }, 0)?;
        prop_assert!(gray(&frame, &image));
    }

    #[test]
    fn any_hills_are_the_same_on_every_path_and_not_blank(hills in hills(), frame in frame(), index in 0..3000u64) {
        on_every_path(hills, index, &frame, &NoStyle {}, 0)?;
    }

    #[test]
    fn any_released_image_is_the_same_on_every_path_and_not_blank(ifs in category(), frame in frame(), style in style(), index in 0..3000u64) {
        let style = ReleasedStyle { points: style, mask_seed: None };
        let image = on_every_path(Released(ifs), index, &frame, &style, 0)?;
        prop_assert!(gray(&frame, &image));
    }

    #[test]
    fn any_noise_is_the_same_on_every_path_and_not_blank(noise in noise(), frame in frame(), index in 0..3000u64) {
        on_every_path(noise, index, &frame, &NoStyle {}, 0)?;
    }

    #[test]
    fn any_curves_are_the_same_on_every_path_and_not_blank(curves in curves(), frame in frame(), style in strokes(), index in 0..3000u64) {
        let image = on_every_path(curves, index, &frame, &style, 0)?;
        prop_assert!(gray(&frame, &image));
    }

    #[test]
    fn any_contours_are_the_same_on_every_path_and_not_blank(rings in contours(), frame in frame(), index in 0..3000u64) {
        on_every_path(rings, index, &frame, &ContourStyle::default(), 255)?;
    }

    #[test]
    fn any_atoms_are_the_same_on_every_path_and_not_blank(
        atom in atoms(),
        frame in frame(),
        style in contour_style(),
        index in 0..3000u64,
    ) {
        on_every_path(atom, index, &frame, &style, 0)?;
    }

    #[test]
    fn any_leaves_are_the_same_on_every_path_and_not_blank(leaves in leaves(), frame in frame(), released in any::<bool>(), index in 0..3000u64) {
        let compat = (released && frame.color).then_some(Compat::Released);
        on_every_path(leaves, index, &frame, &Leaves { compat }, 0)?;
    }

    #[test]
    fn any_spectrum_is_the_same_on_every_path_and_not_blank(spectrum in spectra(), frame in frame(), index in 0..3000u64) {
        on_every_path(spectrum, index, &frame, &NoStyle {}, 0)?;
    }

    #[test]
    fn any_fractal_in_space_is_the_same_on_every_path_and_not_blank(ifs in system_in_space(), frame in frame(), style in views(), index in 0..9000u64) {
        let image = on_every_path(ifs, index, &frame, &style, 0)?;
        prop_assert!(image.iter().all(|&pixel| pixel == 0 || pixel == 255 || style.shade && pixel >= 63));
    }

    #[test]
    fn the_objects_of_any_scene_are_its_lit_pixels(curves in [2..20u64, 1..9u64], rings in [3..200u32, 1..9u32, 0..16u32, 0..16u32], frame in frame(), style in scene_style(), index in 0..3000u64, own in 0..2usize) {
        let scene = scene(curves, rings).remove(own);
        let image = on_every_path(scene.clone(), index, &frame, &style, 0)?;
        let (mut again, mut retries) = (vec![0xAA; image.len()], [0]);
        let (mut map, mut categories) = (vec![9; image.len() / frame.channels()], [vec![]]);
        let objects = Some(SampleObjects { maps: &mut map, categories: &mut categories });
        let samples = Samples { images: &mut again, retries: &mut retries, objects };
        let machine = &Machine { threads: Some(1), simd: Simd::PLAIN };
        let job = Job { categories: &[scene], seed: 3, frame: &frame, style: &style, machine };
        render(&job, &[(0, index)], &mut || false, samples).unwrap();
        prop_assert_eq!(&image, &again);
        prop_assert!(map.contains(&1), "the object of the category is hidden");
        prop_assert!(map.iter().all(|&object| usize::from(object) <= categories[0].len()));
        prop_assert_eq!(categories[0][0], own as u64);
        for (pixel, &object) in image.chunks(frame.channels()).zip(&map) {
            prop_assert_eq!(pixel.iter().any(|&byte| byte != 0), object != 0);
        }
    }

    #[test]
    fn any_ring_scene_is_the_same_on_every_path_and_not_blank(rows in prop::collection::vec(ring_class(), 1..4), frame in frame(), objects in 1..5u64, mask in ring_mask(), index in 0..3000u64) {
        let mut arrays = Arrays::default();
        arrays.insert("classes", vec![rows.len(), 7], Numbers::F64(rows.into_iter().flatten().collect()));
        let category = SegRcdb::family(&arrays).unwrap().remove(0);
        on_every_path(category, index, &frame, &SegStyle { objects, mask }, 0)?;
    }

    #[test]
    fn no_point_lies_in_the_margin(ifs in category(), num_points in 1..700usize, margin in 1..8usize) {
        let frame = Frame { height: 24, width: 32, ..Frame::default() };
        let style = Style { num_points, margin, draw: Draw::Point, variation: Variation::Identity, ..Style::default() };
        let (image, _) = draw(&ifs, 1, &frame, &style, Simd::PLAIN);
        for (row, pixels) in image.chunks(32).enumerate() {
            for (column, &pixel) in pixels.iter().enumerate() {
                let inside = (margin..=24 - margin).contains(&row) && (margin..=32 - margin).contains(&column);
                prop_assert!(pixel == 0 || inside, "row {row}, column {column}");
            }
        }
    }
}
