"""The update of chances beside enumerated subsets, and subsets chosen by chances."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit, logsumexp
from sklearn.metrics import jaccard_score

from minimalml._core.groups import GroupIndex
from minimalml.bags import mean_field_update, mean_jaccard_score
from minimalml.bags._subset_selection._choice import best_threshold, choose

ROUNDING = 1e-10  # of sums of a thousand products


def table_utility(v, seed=0):
    """A utility that knows a random number for each subset of v rows."""
    values = np.random.default_rng(seed).normal(size=2**v)
    return lambda masks: values[masks @ (2 ** np.arange(v))]


def enumerated_logits(utility, q):
    """The definition: what each row adds to each subset of the others."""
    v, logits = len(q), np.zeros(len(q))
    for j in range(v):
        for chosen in product([False, True], repeat=v - 1):
            others = np.insert(np.array(chosen, dtype=bool), j, False)
            chance = np.where(np.insert(chosen, j, 0), q, 1 - q)
            chance[j] = 1.0
            with_j = others | (np.arange(v) == j)
            gain = np.subtract(*utility(np.array([with_j, others])))
            logits[j] += chance.prod() * gain
    return logits


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 100))
def test_the_exact_update_is_the_enumerated_one(q, seed):
    utility = table_utility(len(q), seed)
    expected = expit(enumerated_logits(utility, np.array(q)))
    found = mean_field_update(utility, q, exact=True)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def sampled_errors(n_samples, n_repeats):
    utility, q = table_utility(8), np.linspace(0.1, 0.9, 8)
    exact = logit(mean_field_update(utility, q, exact=True))
    draws = [
        mean_field_update(utility, q, n_samples=n_samples, random_state=seed)
        for seed in range(n_repeats)
    ]
    return logit(draws) - exact


def test_the_sampled_update_comes_nearer_as_one_over_the_root_of_samples():
    few, many = sampled_errors(16, 200), sampled_errors(256, 200)
    spread = many.std(axis=0) / np.sqrt(200)
    assert (np.abs(many.mean(axis=0)) < 4 * spread).all()
    # 1600 errors each: their spread is known to some three in a hundred
    assert few.std() / many.std() == pytest.approx(4.0, rel=0.15)


def test_shared_subsets_have_the_mean_of_subsets_drawn_for_each_row():
    v, n_draws, rng = 5, 5000, np.random.default_rng(0)
    utility, q = table_utility(v), np.linspace(0.2, 0.8, v)
    gains = np.empty((n_draws, v))
    for j in range(v):
        masks = rng.random((n_draws, v)) < q
        masks[:, j] = True
        with_j = utility(masks)
        masks[:, j] = False
        gains[:, j] = with_j - utility(masks)
    shared = logit(mean_field_update(utility, q, n_samples=n_draws, random_state=0))
    spread = gains.std(axis=0) * np.sqrt(2 / n_draws)
    assert (np.abs(shared - gains.mean(axis=0)) < 4 * spread).all()


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=12),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_a_modular_utility_needs_one_step_and_one_sample(worth, start, seed):
    q = np.full(len(worth), start)
    found = mean_field_update(
        lambda masks: masks @ worth + 3.0, q, n_samples=1, random_state=seed
    )
    np.testing.assert_allclose(found, expit(worth), atol=ROUNDING)


def test_updates_in_turn_climb_to_a_bound_below_the_partition_function():
    v = 6
    masks = np.indices((2,) * v).reshape(v, -1).T.astype(bool)
    utility = table_utility(v)
    values, q = 2 * utility(masks), np.full(v, 0.5)

    def bound():
        chance = np.where(masks, q, 1 - q).prod(axis=1)
        entropy = -(q * np.log(q) + (1 - q) * np.log(1 - q)).sum()
        return chance @ values + entropy

    bounds = [bound()]
    for step in range(5 * v):
        update = mean_field_update(lambda masks: 2 * utility(masks), q, exact=True)
        q[step % v] = update[step % v]
        bounds.append(bound())
    assert (np.diff(bounds) > -ROUNDING).all() and bounds[-1] > bounds[0] + 0.1
    assert bounds[-1] < logsumexp(values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q": [0.5, 1.5]}, r"q must be a vector of numbers in \[0, 1\]"),
        ({"q": [0.5, np.nan]}, r"q must be a vector of numbers in \[0, 1\]"),
        ({"q": [[0.5, 0.5]]}, r"q must be a vector of numbers in \[0, 1\]"),
        ({"q": [0.5] * 17, "exact": True}, "takes up to 16 rows, got 17"),
        ({"utility": lambda masks: masks}, r"finite number for each of 3 .*\(3, 2\)"),
        (
            {"utility": lambda masks: masks[:, 0] * np.inf},
            "must return a finite number",
        ),
        ({"n_samples": 0}, "'n_samples' parameter of mean_field_update"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_updated_is_named(options, message):
    options = {"utility": lambda masks: masks.sum(axis=1), "q": [0.5, 0.5]} | options
    with pytest.raises(ValueError, match=message):
        mean_field_update(**options)


# --- subsets ---

memberships = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.integers(-3, 3)),
    min_size=1,
    max_size=20,
).map(lambda rows: [np.array(column) for column in zip(*rows, strict=True)])


@given(memberships)
def test_the_mean_jaccard_score_is_that_of_sets(data):
    bags, one, two, _ = data
    scores = []
    for bag in np.unique(bags):
        a, b = (set(np.flatnonzero(mask & (bags == bag))) for mask in (one, two))
        scores.append(len(a & b) / len(a | b) if a | b else 1.0)
    found = mean_jaccard_score(one, two, bags)
    assert found == pytest.approx(np.mean(scores), abs=ROUNDING)
    assert found == mean_jaccard_score(two.astype(float), one.astype(int), bags)
    assert (found == 1.0) == (one == two).all()
    direct = jaccard_score(one, two, zero_division=1.0)
    assert mean_jaccard_score(one, two, np.zeros(len(one))) == pytest.approx(direct)


@given(memberships)
def test_the_best_threshold_is_best_of_all(data):
    bags, member, _, logits = data
    order = np.argsort(bags, kind="stable")
    bags, member, logits = bags[order], member[order], logits[order].astype(float)
    chance, index = expit(logits), GroupIndex(bags, len(bags))
    found = best_threshold(logits, member, index)
    bounds = np.unique([0.0, *chance, 1.0])
    scores = [
        mean_jaccard_score(member, chance > t, bags)
        for t in (bounds[:-1] + bounds[1:]) / 2
    ]
    score = mean_jaccard_score(member, choose(logits, index, "optimal", found), bags)
    assert score == pytest.approx(max(scores), abs=ROUNDING)


def test_rules_choose_by_threshold_by_size_and_by_number():
    bags = np.array(["b", "a", "b", "b", "a", "c"])
    logits = np.array([2.0, -1.0, 2.0, 1.0, -2.0, 0.5])
    index = GroupIndex(bags, 6)
    assert choose(logits, index, "threshold", 0.8).tolist() == [1, 0, 1, 0, 0, 0]
    # the chances of b add up to 2.49, of a to 0.39, of c to 0.62
    assert choose(logits, index, "size", 0.5).tolist() == [1, 0, 1, 0, 0, 1]
    with pytest.warns(UserWarning, match="1 bags have fewer than selection=2 rows"):
        chosen = choose(logits, index, 2, 0.5)
    assert chosen.tolist() == [1, 1, 1, 0, 1, 1]
    assert choose(logits, index, 1, 0.5).tolist() == [1, 1, 0, 0, 0, 1]  # ties: earlier


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y_pred": [0, 2, 1]}, "y_pred must be booleans, or 0 and 1, got 2"),
        ({"y_true": ["a", "b", "a"]}, "got a: compare labels first"),
        ({"y_true": [0, 1]}, "inconsistent numbers of samples"),
        ({"bags": [1, 2]}, "bags has 2 ids but X has 3 rows"),
        ({"bags": [1, 2, None]}, "row 2 is missing"),
    ],
)
def test_what_cannot_be_scored_is_named(options, message):
    options = {"y_true": [0, 1, 1], "y_pred": [0, 1, 0], "bags": [0, 0, 1]} | options
    with pytest.raises(ValueError, match=message):
        mean_jaccard_score(**options)
