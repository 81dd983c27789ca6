"""Categories that are sampled or perturbed rather than searched for, and one-instance sets."""

import random

import fdsl
import numpy as np
import pytest
from fdsl import IFS, _core
from hypothesis import example, given, settings
from hypothesis import strategies as st
from published import agreement, reference

SAMPLED = "05f00a56e31a359d928e2454cefec8a817682d7b4f4e90c9e2943b7d8cafe357"
PERTURBED = "77d3f01a571c6dc4a9cb12ca1191b16cce6cf23cb19d111ee22f3c4044a54881"


def linear(ifs):
    return ifs._maps[:, :4].reshape(len(ifs), -1, 2, 2)


@pytest.mark.parametrize("maps", [2, 3, 4, 7])
def test_contractive_systems_have_the_published_percentiles(maps):
    published, _ = reference("wacv22-sampler")
    expected = published["n"][str(maps)]
    matrices = linear(IFS.sample(50_000, seed=maps, min_maps=maps, max_maps=maps))
    singular = np.linalg.svd(matrices, compute_uv=False)
    measured = {
        "alpha": (singular[..., 0] + 2 * singular[..., 1]).sum(1),
        "s1_all": singular[..., 0],
        "s2_all": singular[..., 1],
        "s1_first": singular[:, 0, 0],
        "s1_last": singular[:, -1, 0],
        "absdet": np.abs(np.linalg.det(matrices)),
    }
    inner = slice(1, -1)  # the extremes of a sample are not stable
    for name, values in measured.items():
        ours = np.percentile(values, published["percentiles"])
        np.testing.assert_allclose(ours[inner], expected[name][inner], atol=0.025, err_msg=name)
    assert singular.max() <= 1 + 1e-9


def test_contractive_systems_fill_as_much_as_the_published_ones():
    rates = IFS.sample(500, seed=1).fill_rates(size=256, num_points=50_000, margin=0)
    expected = [0.055, 0.108, 0.161, 0.240, 0.374]
    np.testing.assert_allclose(np.percentile(rates, [5, 25, 50, 75, 95]), expected, atol=0.025)
    assert (rates >= 0.05).mean() > 0.93


def test_more_contractive_systems_leave_the_first_unchanged():
    assert IFS.sample(50, seed=2)[:7] == IFS.sample(7, seed=2) != IFS.sample(7, seed=3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sampler": "random"}, "sampler must be 'contractive', got 'random'"),
        ({"min_maps": 1}, "2 ≤ min_maps ≤ max_maps ≤ 256, got 1 and 4"),
        ({"min_maps": 5}, "got 5 and 4"),
        ({"singular_sum": (2.0, 7.0)}, "high < 3·min_maps = 6, got 2 and 7"),
        ({"singular_sum": (0.0, 1.0)}, "0 < low"),
        ({"singular_sum": (2.0, 6.0)}, "high < 3·min_maps = 6, got 2 and 6"),
        ({"singular_sum": (1e-200, 1e-200)}, "every map of 100 systems collapsed to .*got 1e-200"),
        ({"categories": 10_000_000}, "at most 8,388,608 maps"),
    ],
)
def test_a_wrong_sampler_is_told(arguments, said):
    with pytest.raises(ValueError, match=said):
        IFS.sample(**{"categories": 3, **arguments})


BASE = dict(seed=3, min_maps=2, max_maps=2, singular_sum=(3.9, 4.1))


@settings(max_examples=10, deadline=None)
@example(79, 0.2)
@given(st.integers(0, 2**64 - 1), st.sampled_from([0.01, 0.1, 0.2]))
def test_perturbed_categories_stay_near_their_base(seed, delta):
    base = IFS.sample(1, **BASE)
    own, probabilities = base[0]
    for rule, most in (("multiply", np.abs(own) * delta), ("add", delta / 2)):
        ifs = IFS.perturbed(base, 5, delta, rule=rule, seed=seed)
        for maps, chances in ifs:
            assert (np.abs(maps - own) <= most + 1e-12).all() and (maps != own).all()
            assert (chances == probabilities).all()
        # The orbit of a system that expands, or hardly contracts, has outliers: its rate differs by
        # measurement.
        contracting = np.linalg.svd(linear(ifs), compute_uv=False).max((1, 2)) <= 0.99
        assert (ifs.fill_rates()[contracting] >= 0.045).all()
        assert ifs == IFS.perturbed(base, 9, delta, rule=rule, seed=seed, num_threads=1)[:5]


def test_a_base_that_cannot_fill_the_image_is_told():
    thin = IFS([[[0.9, 0, 0, 0.01, 0, 0], [0.9, 0, 0, 0.01, 0.1, 0]]])
    with pytest.raises(ValueError, match=r"category 0 never reached a filling rate of 0.9 in 3 t"):
        IFS.perturbed(thin, 3, fill_rate=0.9, max_tries=3)
    with pytest.raises(ValueError, match="base must be one category, such as ifs"):
        IFS.perturbed(fdsl.fractaldb(2), 3)
    with pytest.raises(TypeError, match="base must be IFS, got <Perlin"):
        IFS.perturbed(fdsl.Perlin(1), 3)
    base = fdsl.fractaldb(3)
    assert IFS.perturbed(base[2], 3) == IFS.perturbed(base[2:], 3)
    for wrong, said in (({"delta": 0}, "delta must be above 0"), ({"rule": "x"}, "'multiply' or")):
        with pytest.raises(ValueError, match=said):
            IFS.perturbed(fdsl.fractaldb(1), 3, **wrong)


def test_one_parameter_images_are_the_programs():
    told, images = reference("1p-frac")
    size, points = told["size"], told["iterations"]
    for made in told["pictures"]:
        draws = random.Random(made["sample_seed"])
        base, delta = np.array(made["base_maps"]), made["delta"]
        for _ in range(made["attempts"]):
            factors = [draws.uniform(1 - delta, 1 + delta) for _ in range(base.size)]
            masks = [draws.randrange(1, 512) for _ in range(points)]
        maps = base * np.reshape(factors, base.shape)
        ours = _core.released_patches(maps, made["probabilities"], size, masks)
        theirs = images["images"][made["index"]]
        np.testing.assert_array_equal(ours.reshape(size, size), theirs)


def test_one_instance_images_are_the_programs():
    told, images = reference("ofdb2d")
    for made in told["pictures"]:
        rows = np.array(made["maps"])
        ifs = IFS([rows[:, :6]], [rows[:, 6]])
        rendering = fdsl.Rendering.released(
            size=told["size"], num_points=told["iterations"], mask_seed=made["seed"]
        )
        ours = fdsl.render(ifs, 0, 0, rendering=rendering)  # row 0 of the weights, not flipped
        theirs = images["images"][made["index"]]
        assert agreement(ours, theirs) == 1


def test_sampled_categories_never_change():
    assert IFS.sample(1000, seed=1).digest() == SAMPLED
    assert IFS.perturbed(IFS.sample(1, **BASE), 100, seed=1).digest() == PERTURBED
