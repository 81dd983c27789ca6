//! What holds for any category, expanding and degenerate ones included.

use fdsl::rendering::{Crop, Draw, Patch, Sampler, Weights};
use fdsl::{Ifs, Machine, Rendering, Simd, render};
use proptest::prelude::*;

/// Any parameter: mostly the paper's range, sometimes far out, sometimes nothing at all.
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
        let (maps, mut chances): (Vec<_>, Vec<f64>) = rows.into_iter().unzip();
        chances[0] += 1e-3; // one of them is chosen
        let sum: f64 = chances.iter().sum();
        Ifs::new(maps, chances.iter().map(|chance| chance / sum).collect()).unwrap()
    })
}

fn rendering() -> impl Strategy<Value = Rendering> {
    let draw =
        prop_oneof![Just(Draw::Point), Just(Draw::Patch(Patch::Random)), Just(Draw::Patch(Patch::Fixed))];
    let weights = prop_oneof![
        Just(Weights::Identity),
        Just(Weights::Grid(0.4)),
        Just(Weights::Grid(0.5)),
        Just(Weights::Continuous(1.0))
    ];
    let sampler = prop_oneof![Just(Sampler::Fdsl), Just(Sampler::Released)];
    let crop = prop::option::of((1..16usize, 1..16usize, any::<bool>()));
    (
        16..40usize,
        16..40usize,
        1..700usize,
        0..8usize,
        draw,
        any::<bool>(),
        weights,
        (crop, sampler),
        any::<bool>(),
    )
        .prop_map(|(height, width, points, pad, draw, color, weights, (crop, sampler), flips)| {
            let crop = crop.map(|(height, width, random)| Crop { height, width, random });
            Rendering {
                height,
                width,
                points,
                draw,
                color,
                weights,
                pad,
                crop,
                flips,
                sampler,
                ..Default::default()
            }
            .checked()
            .unwrap()
        })
}

fn draw(ifs: &Ifs, index: u64, rendering: &Rendering, simd: Simd) -> (Vec<u8>, u8) {
    let (mut pixels, mut redraws) = (vec![0xAA; rendering.bytes()], vec![0]);
    let machine = Machine { threads: Some(1), simd };
    render(std::slice::from_ref(ifs), &[(0, index)], 3, rendering, &machine, &mut pixels, &mut redraws)
        .unwrap();
    (pixels, redraws[0])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_picture_is_the_same_on_every_path_and_not_blank(ifs in category(), rendering in rendering(), index in 0..3000u64) {
        let expected = draw(&ifs, index, &rendering, Simd::PLAIN);
        prop_assert!(expected.0.iter().any(|&pixel| pixel != 0), "blank");
        if !rendering.color {
            prop_assert!(expected.0.iter().all(|&pixel| pixel == 0 || pixel == 127));
        }
        for simd in Simd::available() {
            prop_assert_eq!(&draw(&ifs, index, &rendering, simd), &expected);
        }
    }

    #[test]
    fn no_dot_stands_in_the_padding(ifs in category(), points in 1..700usize, pad in 1..8usize) {
        let rendering = Rendering {
            height: 24, width: 32, points, pad, draw: Draw::Point, weights: Weights::Identity, ..Default::default()
        };
        let (pixels, _) = draw(&ifs, 1, &rendering.checked().unwrap(), Simd::PLAIN);
        for (row, pixels) in pixels.chunks(32).enumerate() {
            for (column, &pixel) in pixels.iter().enumerate() {
                let inside = (pad..=24 - pad).contains(&row) && (pad..=32 - pad).contains(&column);
                prop_assert!(pixel == 0 || inside, "row {row}, column {column}");
            }
        }
    }
}
