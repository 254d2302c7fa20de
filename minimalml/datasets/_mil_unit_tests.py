"""Bags on which a model of multiple-instance learning shows whether it keeps to it.

Raff and Holt, "Reproducibility in Multiple Instance Learning: A Case For Algorithmic
Unit Tests", NeurIPS 2023; constants as in the authors' notebook.
"""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from minimalml._core.validation import Interval, StrOptions, validate_params

POISON, BACKGROUND, FIRST, SECOND = ROLES = (-1, 0, 1, 2)


class Recipe(NamedTuple):
    """What a bag holds: a chance of a poison row, and ranges of numbers of rows."""

    poison: float
    first: tuple
    second: tuple
    background: tuple
    either: bool = False  # one of the two concepts only, by a fair coin


NONE, ONE, FEW, MANY = (0, 0), (1, 1), (1, 4), (35, 39)
FREQUENT = Recipe(0, ONE, ONE, (1, 9))
RECIPES = {  # of negative and positive bags
    ("single_concept", "train"): (
        Recipe(1, NONE, NONE, (1, 9)),
        Recipe(0, (1, 3), NONE, (1, 4)),
    ),
    ("single_concept", "test"): (
        Recipe(0, NONE, NONE, (1, 9)),
        Recipe(1, (1, 3), NONE, (1, 4)),
    ),
    ("multi_concept", "train"): (
        Recipe(1, ONE, ONE, (1, 4), either=True),
        Recipe(0.1, FEW, FEW, (1, 4)),
    ),
    ("multi_concept", "test"): (
        Recipe(0, ONE, ONE, (1, 4), either=True),
        Recipe(1, FEW, FEW, (1, 4)),
    ),
    ("false_frequency", "train"): (FREQUENT._replace(either=True), FREQUENT),
    ("false_frequency", "test"): (Recipe(0, MANY, MANY, (1, 9), either=True), FREQUENT),
}
# Mean and standard deviation of each feature of a row, by its role.
ROWS = {
    "single_concept": {POISON: (-10, 0.1), BACKGROUND: (0, 1), FIRST: (0, 3), SECOND: (0, 0)},
    "multi_concept": {POISON: (-10, 0.1), BACKGROUND: (0, 1), FIRST: (2, 0.1), SECOND: (3, 0.1)},
    "false_frequency": {POISON: (0, 0), BACKGROUND: (0, 1), FIRST: (-2, 0.1), SECOND: (2, 0.1)},
}  # fmt: skip


@validate_params(
    {
        "kind": [StrOptions(set(ROWS))],
        "n_bags": [Interval(Integral, 2, None, closed="left")],
        "split": [StrOptions({"train", "test"})],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "min_bag_size": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
        "return_roles": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_mil_unit_test(
    kind,
    n_bags=1000,
    *,
    split="train",
    n_features=16,
    min_bag_size=None,
    random_state=None,
    return_roles=False,
):
    """Generate bags that mislead a model which breaks multiple-instance learning.

    A bag is positive for what is in it. In the training bags there is an easier sign
    as well, which a model that respects the assumption can't use: a poison row that
    stands in negative bags, or numbers of rows. In the test bags the sign turns round,
    so that an offender is wrong on nearly all of them.

    Parameters
    ----------
    kind : {"single_concept", "multi_concept", "false_frequency"}
        "single_concept": positive bags have 1 to 3 positive rows, N(0, 3), and a poison
        row N(-10, 0.1) stands in each negative training bag and positive test bag.
        "multi_concept": positive bags have rows of both concepts, N(2, 0.1) and
        N(3, 0.1), negative ones a row of one of them; poison as before, and also in a
        tenth of the positive training bags. "false_frequency": positive bags have a row
        of either concept, N(-2, 0.1) and N(2, 0.1); negative ones a row of one of them
        in training and 35 to 39 in testing.

    n_bags : int, default=1000
        Number of bags, at least 2, of which half are positive, or one more.

    split : {"train", "test"}, default="train"
        Which of the two laws.

    n_features : int, default=16
        Number of features, each drawn by the law of the row independently.

    min_bag_size : int, default=None
        Background rows N(0, 1) fill bags up to this size, at least one in each; None
        draws their number, up to 4 or 9.

    random_state : int, RandomState instance or None, default=None
        Seed.

    return_roles : bool, default=False
        Whether to return what each row is.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Rows; those of a bag stand together.

    y : ndarray of int of shape (n_samples,)
        The label of its bag on each row: 0 in the first half of the bags, then 1.

    bags : ndarray of int of shape (n_samples,)
        The bag of each row, from 0 to ``n_bags - 1``.

    roles : ndarray of int of shape (n_samples,)
        -1 poison, 0 background, 1 first concept, 2 second; with ``return_roles`` only.

    See Also
    --------
    minimalml.testing.check_respects_mil_assumption : Judges a model by these bags.

    References
    ----------
    .. [1] E. Raff, J. Holt, "Reproducibility in Multiple Instance Learning: A Case For
       Algorithmic Unit Tests", NeurIPS 2023. arXiv:2310.17867

    Examples
    --------
    >>> from minimalml.datasets import make_mil_unit_test
    >>> X, y, bags = make_mil_unit_test("single_concept", 4, random_state=0)
    >>> y[bags == 1].max(), y[bags == 2].min(), X[bags == 0].min() < -9
    (np.int64(0), np.int64(1), np.True_)
    """
    rng = check_random_state(random_state)
    n_negative = n_bags // 2
    counts = np.vstack(
        [
            _draw_counts(rng, recipe, n, min_bag_size)
            for recipe, n in zip(
                RECIPES[kind, split], (n_negative, n_bags - n_negative), strict=True
            )
        ]
    )
    bags = np.repeat(np.arange(n_bags), counts.sum(axis=1))
    roles = np.repeat(np.tile(ROLES, n_bags), counts.ravel())
    means, deviations = np.array([ROWS[kind][role] for role in ROLES]).T
    X = rng.standard_normal((len(roles), n_features))
    X = X * deviations[roles + 1, None] + means[roles + 1, None]
    y = (bags >= n_negative).astype(np.intp)
    return (X, y, bags, roles) if return_roles else (X, y, bags)


def _draw_counts(rng, recipe, n_bags, min_bag_size):
    """Return the number of rows of each role, shape (n_bags, 4)."""
    poison = rng.random_sample(n_bags) < recipe.poison
    ranges = (recipe.first, recipe.second, recipe.background)
    first, second, background = (rng.randint(a, b + 1, n_bags) for a, b in ranges)
    if recipe.either:
        is_first = rng.randint(2, size=n_bags)
        first, second = first * is_first, second * (1 - is_first)
    if min_bag_size is not None:
        background = np.maximum(1, min_bag_size - poison - first - second)
    return np.column_stack([poison, background, first, second])
