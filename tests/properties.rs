//! What holds for any category, expanding and degenerate ones included.

use fdsl::rendering::{Crop, Draw, Patch, Sampler, Weights};
use fdsl::{Bezier, Formula, Ifs, Machine, Perlin, Rendering, Simd, render};
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

fn noise() -> impl Strategy<Value = Perlin> {
    let frequency = prop_oneof![1.0..40.0f64, 1e-3..4096.0f64];
    ([frequency.clone(), frequency], 1..6usize, 0.01..1.0f64, 0.1..100.0f64).prop_map(
        |(frequency, octaves, persistence, contrast)| {
            Perlin::new(frequency, octaves, persistence, contrast).unwrap()
        },
    )
}

fn curves() -> impl Strategy<Value = Bezier> {
    (2..65u64, 1..20u64).prop_map(|(points, curves)| Bezier::family(&[[points, curves]]).unwrap().remove(0))
}

/// Draws on every path and checks what holds for every family.
fn draw_on_every_path<F: Formula>(
    category: &F,
    index: u64,
    rendering: &Rendering,
) -> Result<Vec<u8>, TestCaseError> {
    let expected = draw(category, index, rendering, Simd::PLAIN);
    prop_assert!(expected.0.iter().any(|&pixel| pixel != 0), "blank");
    for simd in Simd::available() {
        prop_assert_eq!(&draw(category, index, rendering, simd), &expected);
    }
    Ok(expected.0)
}

fn draw<F: Formula>(category: &F, index: u64, rendering: &Rendering, simd: Simd) -> (Vec<u8>, u8) {
    let (mut pixels, mut redraws) = (vec![0xAA; rendering.bytes()], vec![0]);
    let machine = Machine { threads: Some(1), simd };
    render(std::slice::from_ref(category), &[(0, index)], 3, rendering, &machine, &mut pixels, &mut redraws)
        .unwrap();
    (pixels, redraws[0])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_fractal_is_the_same_on_every_path_and_not_blank(ifs in category(), rendering in rendering(), index in 0..3000u64) {
        let pixels = draw_on_every_path(&ifs, index, &rendering)?;
        prop_assert!(rendering.color || pixels.iter().all(|&pixel| pixel == 0 || pixel == 127));
    }

    #[test]
    fn any_noise_is_the_same_on_every_path_and_not_blank(noise in noise(), rendering in rendering(), index in 0..3000u64) {
        draw_on_every_path(&noise, index, &rendering)?;
    }

    #[test]
    fn any_curves_are_the_same_on_every_path_and_not_blank(curves in curves(), rendering in rendering(), index in 0..3000u64) {
        let pixels = draw_on_every_path(&curves, index, &rendering)?;
        prop_assert!(rendering.color || pixels.iter().all(|&pixel| pixel == 0 || pixel == 127));
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
