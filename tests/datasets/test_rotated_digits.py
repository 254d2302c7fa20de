import numpy as np
import pytest

from minimalml.datasets import make_rotated_digits


def test_shapes_ranges_and_repeatability():
    X, y, domains = make_rotated_digits(40, random_state=0)
    assert X.shape == (40, 192) and X.min() >= 0 and X.max() <= 1
    assert 0 <= y.min() and y.max() <= 60
    assert domains.sum() == 8
    again = make_rotated_digits(40, random_state=0)
    np.testing.assert_array_equal(again[0], X)


@pytest.mark.parametrize("cue", ["color", "background"])
def test_the_cue_follows_the_angle_in_one_domain_and_lies_in_the_other(cue):
    X, y, domains = make_rotated_digits(
        200, aligned_fraction=0.5, cue=cue, random_state=0
    )
    first, second, third = X.reshape(200, 3, 64).sum(2).T
    level = first / (first + second) if cue == "color" else third / (64 - first)
    np.testing.assert_allclose(level[domains == 0], y[domains == 0] / 60)
    np.testing.assert_allclose(level[domains == 1], 1 - y[domains == 1] / 60)


def test_no_turn_leaves_the_image():
    image = np.random.default_rng(0).random((1, 8, 8))
    X, _, _ = make_rotated_digits(
        3, images=image, max_angle=1e-9, cue="background", random_state=0
    )
    inside = X[:, :64].reshape(3, 8, 8)[:, 1:-1, 1:-1]  # the border is cut at times
    np.testing.assert_allclose(inside, np.repeat(image[:, 1:-1, 1:-1], 3, 0), atol=1e-9)


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="'aligned_fraction' parameter"):
        make_rotated_digits(aligned_fraction=1.2)
