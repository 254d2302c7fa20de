"""The law of the unit tests of multiple-instance learning, by counting."""

import numpy as np
import pytest

from minimalml.datasets import make_mil_unit_test

KINDS = ["single_concept", "multi_concept", "false_frequency"]
POISON, BACKGROUND, FIRST, SECOND = -1, 0, 1, 2
# Numbers of rows of negative and positive bags; "AB" is the one of two concepts there is.
FEW, UP_TO_9 = {1, 2, 3, 4}, set(range(1, 10))
LAWS = {
    ("single_concept", "train"): (
        {POISON: {1}, FIRST: {0}, SECOND: {0}, BACKGROUND: UP_TO_9},
        {POISON: {0}, FIRST: {1, 2, 3}, SECOND: {0}, BACKGROUND: FEW},
    ),
    ("single_concept", "test"): (
        {POISON: {0}, FIRST: {0}, SECOND: {0}, BACKGROUND: UP_TO_9},
        {POISON: {1}, FIRST: {1, 2, 3}, SECOND: {0}, BACKGROUND: FEW},
    ),
    ("multi_concept", "train"): (
        {POISON: {1}, "AB": {1}, BACKGROUND: FEW},
        {POISON: {0, 1}, FIRST: FEW, SECOND: FEW, BACKGROUND: FEW},
    ),
    ("multi_concept", "test"): (
        {POISON: {0}, "AB": {1}, BACKGROUND: FEW},
        {POISON: {1}, FIRST: FEW, SECOND: FEW, BACKGROUND: FEW},
    ),
    ("false_frequency", "train"): (
        {POISON: {0}, "AB": {1}, BACKGROUND: UP_TO_9},
        {POISON: {0}, FIRST: {1}, SECOND: {1}, BACKGROUND: UP_TO_9},
    ),
    ("false_frequency", "test"): (
        {POISON: {0}, "AB": set(range(35, 40)), BACKGROUND: UP_TO_9},
        {POISON: {0}, FIRST: {1}, SECOND: {1}, BACKGROUND: UP_TO_9},
    ),
}


def counted(kind, split, n_bags=801, **options):
    """Return the label of each bag, and its numbers of rows by role."""
    _, y, bags, roles = make_mil_unit_test(
        kind, n_bags, split=split, random_state=0, return_roles=True, **options
    )
    counts = {role: np.bincount(bags, roles == role).astype(int) for role in (-1, 0, 1, 2)}  # fmt: skip
    labels = np.bincount(bags, y) / np.bincount(bags)
    return labels, counts


@pytest.mark.parametrize(("kind", "split"), LAWS)
def test_bags_hold_what_the_law_says(kind, split):
    labels, counts = counted(kind, split)
    np.testing.assert_array_equal(labels, np.arange(801) >= 400)
    for label, law in enumerate(LAWS[kind, split]):
        found = {role: n[labels == label] for role, n in counts.items()}
        if "AB" in law:
            assert (np.minimum(found[FIRST], found[SECOND]) == 0).all()
            assert abs(np.mean(found[FIRST] > 0) - 0.5) < 0.1
            found["AB"] = found[FIRST] + found[SECOND]
        for role, allowed in law.items():
            numbers, times = np.unique(found[role], return_counts=True)
            assert set(numbers.tolist()) == allowed, role
            if role != POISON:  # uniform: five standard deviations
                p = 1 / len(allowed)
                spread = np.sqrt(times.sum() * p * (1 - p))
                assert np.abs(times - times.sum() * p).max() <= 5 * spread
    if (kind, split) == ("multi_concept", "train"):
        assert 0.05 < counts[POISON][labels == 1].mean() < 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_means_and_spreads_of_their_roles(kind):
    first, second = {
        "single_concept": ((0, 3), None),
        "multi_concept": ((2, 0.1), (3, 0.1)),
        "false_frequency": ((-2, 0.1), (2, 0.1)),
    }[kind]
    X, _, _, roles = make_mil_unit_test(
        kind, 1000, n_features=8, random_state=1, return_roles=True
    )
    rows = {POISON: (-10, 0.1), BACKGROUND: (0, 1), FIRST: first, SECOND: second}
    for role in np.unique(roles):
        mean, spread = rows[role]
        values = X[roles == role]
        error = spread / np.sqrt(values.size)
        assert values.shape[1] == 8 and abs(values.mean() - mean) < 5 * error
        assert abs(values.std() - spread) < 5 * error
        correlation = np.corrcoef(values.T)[0, 1]
        assert abs(correlation) < 5 / np.sqrt(len(values))


@pytest.mark.parametrize("size", [3, 12, 45])
def test_background_fills_bags_up_to_a_size(size):
    for kind, split in LAWS:
        _, counts = counted(kind, split, n_bags=50, min_bag_size=size)
        others = counts[POISON] + counts[FIRST] + counts[SECOND]
        expected = np.maximum(1, size - others)
        np.testing.assert_array_equal(counts[BACKGROUND], expected)


def test_a_seed_repeats_and_splits_differ():
    X, y, bags = make_mil_unit_test("multi_concept", 10, random_state=3)
    again = make_mil_unit_test("multi_concept", 10, random_state=3)
    other = make_mil_unit_test("multi_concept", 10, random_state=4)
    for one, two in zip((X, y, bags), again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert X.shape != other[0].shape or (X != other[0]).any()
    assert (np.diff(bags) >= 0).all() and X.shape == (len(bags), 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "no_concept"}, "'kind' parameter .* 'no_concept'"),
        ({"split": "validation"}, "'split' parameter .* 'validation'"),
        ({"n_bags": 1}, "'n_bags' parameter"),
        ({"n_features": 0}, "'n_features' parameter"),
        ({"min_bag_size": 0}, "'min_bag_size' parameter"),
    ],
)
def test_what_cannot_be_drawn_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_mil_unit_test(**({"kind": "single_concept"} | options))
