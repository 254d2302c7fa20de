"""The ordering programme: closed form, invariants, cvxpy, kernels, bad input."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimalml.inspection import (
    ordered_top_k_success,
    ordering_pairs,
    project_features,
    sample_ordered_targets,
    solve_ordered_top_k,
)
from minimalml.inspection._quad_attack._losses import QuadLoss

FEASIBLE = 1e-9  # relative to 1 + max |logits|
ORACLE = 1e-6
KINDS = ("random", "rank_deficient", "tied", "duplicated_class", "integer")


def make_problem(seed, n_classes, n_features, k, kind="random", n_samples=4):
    """Return weight, logits and targets."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((n_classes, n_features))
    features = rng.standard_normal((n_samples, n_features))
    bias = rng.standard_normal(n_classes)
    if kind == "rank_deficient":
        weight = weight[:, :1] * rng.standard_normal(n_features) + 0.5 * weight[:, ::-1]
        weight[:, n_features // 2 :] = weight[:, : n_features - n_features // 2]
    if kind == "tied":
        features[:], bias[:] = 0.0, 0.0
    if kind == "duplicated_class":
        weight[-1], bias[-1] = weight[0], bias[0]
    if kind == "integer":
        weight, features = np.round(weight), np.round(features)
        bias = np.round(bias)
    y = rng.integers(n_classes, size=n_samples)
    targets = sample_ordered_targets(y, n_classes, k, seed)
    return weight, features @ weight.T + bias, targets


@st.composite
def problems(draw, kinds=KINDS, full_rank=False):
    n_classes = draw(st.integers(2, 12))
    least = n_classes if full_rank else 1
    return make_problem(
        draw(st.integers(0, 10_000)),
        n_classes,
        draw(st.integers(least, 16)),
        draw(st.integers(1, n_classes - 1)),
        draw(st.sampled_from(kinds)),
    )


def differences(targets, n_classes):
    """The matrix D of one sample, by the definition."""
    high, low = ordering_pairs(targets[None], n_classes)
    return np.eye(n_classes)[high[0]] - np.eye(n_classes)[low[0]]


def solve(problem, margin=0.2, **options):
    weight, logits, targets = problem
    return solve_ordered_top_k(logits, targets, weight @ weight.T, margin, **options)


def scale_of(logits):
    return 1.0 + np.abs(logits).max(axis=1)


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(0, 1000))
def test_two_classes_have_a_closed_form(score_0, score_1, seed):
    weight = np.random.default_rng(seed).standard_normal((2, 3))
    logits = np.array([score_0, score_1])
    solution = solve_ordered_top_k(logits, [1], weight @ weight.T, 0.2)
    lead = max(0.0, 0.2 - score_1 + score_0) / ((weight[1] - weight[0]) ** 2).sum()
    np.testing.assert_allclose(solution.direction, [-lead, lead], atol=1e-12)


def test_what_is_already_in_order_is_left_exactly_alone():
    weight, logits, _ = make_problem(0, 6, 8, 3)
    targets = np.argsort(-logits, axis=1)[:, :3]
    solution = solve((weight, 10 * logits, targets), margin=1e-3)
    assert not solution.direction.any() and not solution.distance_squared.any()
    assert (solution.status == "optimal").all()


@given(problems(kinds=("random", "integer"), full_rank=True))
def test_the_nearest_point_is_in_order_by_the_margin(problem):
    weight, logits, targets = problem
    solution = solve(problem)
    room = FEASIBLE * scale_of(logits)
    for i in np.flatnonzero(solution.status == "optimal"):
        scores = logits[i] + solution.direction[i] @ weight @ weight.T
        lead = differences(targets[i], len(weight)) @ scores
        assert lead.min() >= 0.2 - room[i]
        assert ordered_top_k_success(scores[None], targets[i : i + 1])[0]


@given(problems())
def test_every_answer_carries_its_proof(problem):
    weight, logits, targets = problem
    solution = solve(problem)
    gram, u = weight @ weight.T, solution.direction
    assert (solution.dual >= 0.0).all()
    for i, status in enumerate(solution.status):
        rows = differences(targets[i], len(weight))
        needed = solution.dual[i] @ (0.2 - rows @ logits[i])
        if status == "infeasible":
            flat = np.linalg.norm(solution.dual[i] @ rows @ weight)
            assert flat <= 1e-5 * np.linalg.norm(weight) and needed > 0.0
            assert np.isinf(solution.distance_squared[i])
            continue
        assert status == "optimal" and solution.kkt_residual[i] <= 1e-8
        distance = u[i] @ gram @ u[i]
        np.testing.assert_allclose(solution.dual[i] @ rows, u[i])
        np.testing.assert_allclose(solution.distance_squared[i], distance, atol=1e-9)
        assert abs(distance - needed) <= FEASIBLE * (1 + distance) * scale_of(logits)[i]


@given(problems())
def test_direction_sums_to_zero_with_the_known_signs(problem):
    _, _, targets = problem
    u = solve(problem).direction
    size = 1.0 + np.abs(u).max()
    others = np.ones_like(u, dtype=bool)
    np.put_along_axis(others, targets, False, axis=1)
    assert np.abs(u.sum(axis=1)).max() <= 1e-12 * size
    assert (np.take_along_axis(u, targets[:, :1], axis=1) >= 0.0).all()
    assert (u[others] <= 0.0).all()


@given(problems(kinds=("random",), full_rank=True), st.floats(0, 1), st.floats(0, 1))
def test_distance_grows_with_the_margin(problem, one, other):
    low, high = sorted((one, other))
    assert (
        solve(problem, low).distance_squared
        <= solve(problem, high).distance_squared + 1e-9
    ).all()


@given(problems(kinds=("random",), full_rank=True))
def test_distance_falls_when_a_class_is_dropped(problem):
    weight, logits, targets = problem
    droppable = [c for c in range(len(weight)) if c not in targets]
    if targets.shape[1] == len(weight) - 1:
        return
    whole = solve(problem).distance_squared
    for c in droppable:
        fewer = targets - (targets > c)
        part = np.delete(weight, c, axis=0), np.delete(logits, c, axis=1), fewer
        assert (solve(part).distance_squared <= whole * (1 + 1e-9) + 1e-9).all()


@given(problems(kinds=("random",), full_rank=True), st.integers(0, 1000))
def test_classes_can_be_renamed_scores_shifted_and_features_turned(problem, seed):
    weight, logits, targets = problem
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(weight))
    turn = np.linalg.qr(rng.standard_normal((weight.shape[1],) * 2))[0]
    renamed = (weight @ turn)[order], logits[:, order] + 3.0, np.argsort(order)[targets]
    u = solve(problem).direction
    scale = 1.0 + np.abs(u).max()
    np.testing.assert_allclose(
        solve(renamed).direction, u[:, order], atol=1e-6 * scale, rtol=1e-6
    )


@given(problems(kinds=("random",), full_rank=True))
def test_gradient_of_the_distance_is_minus_twice_the_direction(problem):
    weight, logits, _ = problem
    u = solve(problem).direction
    step = 1e-6 * scale_of(logits)[:, None]
    move = np.random.default_rng(0).standard_normal(logits.shape)
    rise = (
        solve((weight, logits + step * move, problem[2])).distance_squared
        - solve((weight, logits - step * move, problem[2])).distance_squared
    )
    slope = -2.0 * (u * move).sum(axis=1)
    size = 1.0 + np.abs(u).max() ** 2
    np.testing.assert_allclose(rise / (2 * step[:, 0]), slope, atol=1e-5 * size)


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@settings(max_examples=10)
@given(problems())
def test_cvxpy_agrees(problem):
    weight = problem[0]
    ours, theirs = solve(problem), solve(problem, solver="cvxpy")
    for i in np.flatnonzero(theirs.status != "max_iter"):
        if "infeasible" in (ours.status[i], theirs.status[i]):
            assert ours.status[i] == theirs.status[i]
            continue
        size = 1.0 + np.sqrt(ours.distance_squared[i])
        np.testing.assert_allclose(
            ours.direction[i] @ weight,
            theirs.direction[i] @ weight,
            atol=10 * ORACLE * size,
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_features", [3, 40])
def test_cvxpy_agrees_on_more_classes(kind, n_features):
    problem = make_problem(1, 40, n_features, 5, kind, n_samples=3)
    ours, theirs = solve(problem), solve(problem, solver="cvxpy")
    decided = theirs.status != "max_iter"  # duplicated rows can stall CLARABEL
    assert decided.sum() >= 2
    np.testing.assert_array_equal(ours.status[decided], theirs.status[decided])
    gram = problem[0] @ problem[0].T
    apart = ours.direction - theirs.direction
    moved = np.sqrt(np.einsum("ij,jk,ik->i", apart, gram, apart).clip(0))
    room = ORACLE * (1 + np.linalg.norm(ours.direction @ problem[0]))
    assert (moved <= room)[decided].all()


def as_tensors(problem):
    return tuple(torch.as_tensor(x) for x in problem)


@pytest.mark.kernel
@given(problems())
def test_torch_agrees_with_cython(problem):
    ours, theirs = solve(problem), solve(as_tensors(problem))
    decided = (ours.status != "max_iter") & (theirs.status != "max_iter")
    np.testing.assert_array_equal(ours.status[decided], theirs.status[decided])
    feasible = ours.status == "optimal"
    size = 1.0 + np.abs(ours.direction).max()
    moved = (theirs.direction.numpy() - ours.direction) @ problem[0]
    assert np.abs(moved[feasible]).max(initial=0.0) <= 1e-6 * size
    assert (theirs.kkt_residual.numpy()[feasible] <= 1e-8).all()


def test_torch_agrees_with_cython_on_many_classes_and_solves_float32():
    problem = make_problem(3, 300, 100, 8, n_samples=20)
    ours, theirs = solve(problem), solve(as_tensors(problem))
    np.testing.assert_allclose(theirs.direction, ours.direction, atol=1e-8)
    single = solve_ordered_top_k(
        torch.as_tensor(problem[1]).float(),
        problem[2],
        torch.as_tensor(problem[0] @ problem[0].T),
    )
    assert single.direction.dtype == torch.float64
    np.testing.assert_allclose(single.direction, ours.direction, atol=1e-3)


@pytest.mark.parametrize("convert", [lambda p: p, as_tensors], ids=["numpy", "torch"])
def test_a_warm_start_reaches_the_same_point_in_one_round(convert):
    weight, logits, targets = make_problem(0, 100, 200, 5, n_samples=10)
    cold = solve(convert((weight, logits, targets)))
    nearby = convert((weight, logits + 1e-4, targets))
    warm = solve(nearby, warm_start=cold)
    assert int(warm.n_iter.max()) <= 1 < int(cold.n_iter.max())
    np.testing.assert_allclose(warm.direction, cold.direction, atol=1e-9)


@given(problems(), st.integers(0, 1000))
def test_a_solution_is_a_start_for_other_scores(problem, seed):
    weight, logits, targets = problem
    gram = weight @ weight.T
    moved = (
        logits
        + 0.3
        * np.random.default_rng(seed).standard_normal((len(logits), weight.shape[1]))
        @ weight.T
    )
    for convert in (np.asarray, torch.as_tensor):
        matrix = convert(gram)
        first = solve_ordered_top_k(convert(logits), targets, matrix)
        kept = np.asarray(first.direction).copy()
        cold = solve_ordered_top_k(convert(moved), targets, matrix)
        warm = solve_ordered_top_k(convert(moved), targets, matrix, warm_start=first)
        np.testing.assert_array_equal(np.asarray(first.direction), kept)
        decided = (warm.status != "max_iter") & (cold.status != "max_iter")
        np.testing.assert_array_equal(warm.status[decided], cold.status[decided])
        size = 1.0 + np.abs(np.asarray(cold.direction)).max()
        apart = np.asarray(warm.direction - cold.direction) @ weight
        assert np.abs(apart[decided]).max(initial=0.0) <= 1e-6 * size


@pytest.mark.parametrize(
    "convert, n_classes, twins",
    [
        (np.asarray, 60, 0.0),
        (np.asarray, 60, 1e-3),
        (np.asarray, 300, 0.0),  # so many: scores from a rounded matrix
        (np.asarray, 300, 1e-3),
        (torch.as_tensor, 60, 0.0),
        (torch.as_tensor, 60, 1e-3),
        (torch.as_tensor, 300, 0.0),
    ],
)
def test_a_long_loop_ends_where_a_fresh_solve_does(convert, n_classes, twins):
    weight, logits, targets = make_problem(0, n_classes, 80, 5)
    if twins:  # classes nearly alike, so that rows are nearly dependent
        weight[1::2] = weight[::2] + twins * weight[1::2]
    gram, walk = weight @ weight.T, np.random.default_rng(0)
    loss = QuadLoss(convert(targets), convert(gram), 0.2)
    for _ in range(100):
        logits = logits + 0.1 * walk.standard_normal((len(logits), 80)) @ weight.T
        distance, gradient = map(np.asarray, loss(convert(logits)))
        cold = solve_ordered_top_k(logits, targets, gram)
        assert (cold.status == "optimal").all()
        np.testing.assert_allclose(distance, cold.distance_squared, rtol=1e-6)
        apart = (gradient + 2.0 * cold.direction) @ weight
        assert np.abs(apart).max() <= 1e-6 * np.sqrt(distance.max())


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_a_loop_over_impossible_orders_keeps_saying_so(convert):
    weight, logits, targets = make_problem(1, 20, 6, 2, n_samples=20)
    gram, walk = convert(weight @ weight.T), np.random.default_rng(0)
    warm = None
    for _ in range(12):
        logits = logits + 0.3 * walk.standard_normal((len(logits), 6)) @ weight.T
        problem = convert(logits), convert(targets), gram
        cold = solve_ordered_top_k(*problem)
        warm = solve_ordered_top_k(*problem, warm_start=warm)
        np.testing.assert_array_equal(warm.status, cold.status)
        assert set(warm.status) == {"optimal", "infeasible"}
        assert (warm.kkt_residual[warm.status == "optimal"] <= 1e-8).all()


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_a_loop_decides_exactly_between_classes_that_tie(convert):
    weight, _, targets = make_problem(0, 100, 80, 5, n_samples=20)
    rivals = make_problem(1, 100, 80, 5)[0]
    # where one of three alike leads, single precision can't tell if the others do
    weight = np.vstack([weight, rivals, rivals, rivals])
    high, low = ordering_pairs(targets, len(weight))
    gram, walk = weight @ weight.T, np.random.default_rng(0)
    features = walk.standard_normal((20, 80))
    loss, warm = QuadLoss(convert(targets), convert(gram), 0.2), None
    for _ in range(20):
        features = features + 0.02 * walk.standard_normal(features.shape)
        logits = features @ weight.T
        gradient = np.asarray(loss(convert(logits))[1])
        scores = logits - 0.5 * gradient @ gram
        lead = np.take_along_axis(scores, high, 1) - np.take_along_axis(scores, low, 1)
        assert (lead.min(axis=1) >= 0.2 - FEASIBLE * scale_of(logits)).all()
        warm = solve_ordered_top_k(logits, targets, gram, warm_start=warm)
    cold = solve_ordered_top_k(logits, targets, gram)
    assert 2 * warm.n_iter.sum() < cold.n_iter.sum()  # it did not have to start anew


@pytest.mark.parametrize("n_features, k", [(20, 3), (40, 5)])
def test_both_kernels_agree_on_many_classes_in_few_dimensions(n_features, k):
    weight, logits, targets = make_problem(0, 300, n_features, k, n_samples=40)
    gram = weight @ weight.T
    solution = solve_ordered_top_k(logits, targets, gram)
    twin = solve_ordered_top_k(*map(torch.as_tensor, (logits, targets, gram)))
    np.testing.assert_array_equal(twin.status, solution.status)
    assert "optimal" in solution.status
    np.testing.assert_allclose(twin.direction, solution.direction, atol=1e-6)


def test_a_loop_sees_violations_below_single_precision():
    weight, logits, targets = make_problem(0, 300, 80, 5, n_samples=60)
    gram, high_low = weight @ weight.T, ordering_pairs(targets, 300)
    warm = None
    for _ in range(4):
        warm = solve_ordered_top_k(logits, targets, gram, warm_start=warm)
        scores = logits + warm.direction @ gram
        high, low = (np.take_along_axis(scores, index, 1) for index in high_low)
        gap = np.where(warm.active_set, -np.inf, 0.2 - high + low)
        nearest = np.argsort(gap, axis=1)[:, -10:]
        rivals = np.take_along_axis(high_low[1], nearest, 1)
        # lift ten rivals a sample to just above what the solver may leave
        lift = 5e-8 * scale_of(logits)[:, None] - np.take_along_axis(gap, nearest, 1)
        logits = logits.copy()
        np.put_along_axis(
            logits, rivals, np.take_along_axis(logits, rivals, 1) + lift, 1
        )
    warm = solve_ordered_top_k(logits, targets, gram, warm_start=warm)
    scores = logits + warm.direction @ gram
    high, low = (np.take_along_axis(scores, index, 1) for index in high_low)
    assert (warm.status == "optimal").all()
    assert ((high - low).min(axis=1) >= 0.2 - FEASIBLE * scale_of(logits)).all()


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_a_solution_is_recognised_by_what_the_matrix_holds(convert):
    weight, logits, targets = map(convert, make_problem(0, 100, 200, 5))
    gram = weight @ weight.T
    first = solve_ordered_top_k(logits, targets, gram)
    if convert is torch.as_tensor:
        assert first._saved_rows.fits(targets, gram.detach())
        assert not first._saved_rows.fits(targets, gram.clone())
    again = solve_ordered_top_k(logits, targets, gram, warm_start=first)
    assert int(again.n_iter.max()) <= 1 < int(first.n_iter.max())
    gram[:] = 2.0 * gram
    other = solve_ordered_top_k(logits, targets, gram, warm_start=first)
    np.testing.assert_allclose(other.direction, first.direction / 2.0, atol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_step_of_a_loop_without_finite_scores_spoils_none_after_it(bad):
    weight, logits, targets = make_problem(0, 40, 60, 5)
    gram = weight @ weight.T
    loss = QuadLoss(targets, gram, 0.2)
    loss(logits)
    broken = logits.copy()
    broken[1, targets[1, -1]] = broken[2] = broken[3, ::2] = bad
    loss(broken)
    distance, gradient = loss(1.1 * logits)
    cold = solve_ordered_top_k(1.1 * logits, targets, gram)
    np.testing.assert_allclose(distance, cold.distance_squared, atol=1e-9)
    np.testing.assert_allclose(gradient, -2.0 * cold.direction, atol=1e-9)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_a_solution_of_another_problem_is_a_start_like_any_other(convert):
    weight, logits, targets = make_problem(0, 40, 60, 5)
    gram = convert(weight @ weight.T)
    first = solve_ordered_top_k(convert(logits), targets, gram)
    others = np.roll(targets, 1, axis=1)
    weight[7] *= 3.0
    for changed, goal in ((convert(weight @ weight.T), targets), (gram, others)):
        cold = solve_ordered_top_k(convert(logits), goal, changed)
        warm = solve_ordered_top_k(convert(logits), goal, changed, warm_start=first)
        np.testing.assert_allclose(warm.direction, cold.direction, atol=1e-9)
    gram[:] = convert(weight @ weight.T)  # overwritten in place
    cold = solve_ordered_top_k(convert(logits), targets, gram)
    warm = solve_ordered_top_k(convert(logits), targets, gram, warm_start=first)
    np.testing.assert_allclose(warm.direction, cold.direction, atol=1e-9)


def test_a_copied_solution_is_a_start_too():
    weight, logits, targets = make_problem(0, 40, 60, 5)
    solution = solve((weight, logits, targets))
    copied = pickle.loads(pickle.dumps(solution))
    warm = solve((weight, logits, targets), warm_start=copied)
    np.testing.assert_allclose(warm.direction, solution.direction, atol=1e-9)


@given(problems(), st.integers(0, 1000))
def test_any_warm_start_will_do(problem, seed):
    cold = solve(problem)
    start = np.random.default_rng(seed).standard_normal(cold.dual.shape) * 10
    warm = solve(problem, warm_start=start)
    np.testing.assert_array_equal(warm.status, cold.status)
    size = 1.0 + np.abs(cold.direction).max()
    moved = (warm.direction - cold.direction) @ problem[0]
    np.testing.assert_allclose(moved, 0.0, atol=1e-6 * size)


@given(problems())
@pytest.mark.parametrize("convert", [lambda p: p, as_tensors], ids=["numpy", "torch"])
def test_weights_stand_in_for_their_gram_matrix(convert, problem):
    weight, logits, targets = convert(problem)
    dense = solve((weight, logits, targets))
    for start in (None, dense.dual):
        ours = solve_ordered_top_k(logits, targets, weight=weight, warm_start=start)
        decided = (np.asarray(ours.status_code) < 2) & (dense.status != "max_iter")
        np.testing.assert_array_equal(ours.status[decided], dense.status[decided])
        size = 1.0 + np.abs(np.asarray(dense.direction)).max()
        moved = np.asarray((ours.direction - dense.direction) @ weight)
        assert np.abs(moved[decided]).max(initial=0.0) <= 1e-6 * size
        is_optimal = ours.status == "optimal"
        assert (np.asarray(ours.kkt_residual)[is_optimal] <= 1e-8).all()


@pytest.mark.parametrize("convert", [lambda p: p, as_tensors], ids=["numpy", "torch"])
def test_weights_of_many_classes_need_no_gram_matrix(convert):
    problem = make_problem(2, 400, 60, 6, n_samples=12)
    weight, logits, targets = convert(problem)
    dense, ours = (
        solve((weight, logits, targets)),
        solve_ordered_top_k(logits, targets, weight=weight),
    )
    np.testing.assert_allclose(ours.direction, dense.direction, atol=1e-8)
    np.testing.assert_allclose(ours.distance_squared, dense.distance_squared)
    np.testing.assert_allclose(ours.dual, dense.dual, atol=1e-8)
    assert (ours.active_set == dense.active_set).all()


@pytest.mark.kernel
def test_the_number_of_threads_changes_nothing():
    problem = make_problem(0, 50, 30, 4, n_samples=40)
    one, three = solve(problem, n_threads=1), solve(problem, n_threads=3)
    np.testing.assert_array_equal(one.direction, three.direction)
    np.testing.assert_array_equal(one.dual, three.dual)


def test_read_only_input_and_single_samples_are_taken():
    problem = make_problem(0, 6, 8, 2)
    for array in problem:
        array.setflags(write=False)
    batch = solve(problem)
    single = solve((problem[0], problem[1][1], problem[2][1]))
    np.testing.assert_array_equal(single.direction, batch.direction[1])
    assert single.distance_squared == batch.distance_squared[1]
    assert str(single.status) == "optimal"


def test_rounds_can_run_out():
    problem = make_problem(0, 100, 200, 5)
    assert (solve(problem, max_iter=1).status == "max_iter").all()
    assert (solve(as_tensors(problem), max_iter=1).status != "infeasible").all()


def test_duplicated_classes_can_not_be_ordered():
    weight, logits, _ = make_problem(0, 5, 8, 2, "duplicated_class")
    targets = np.tile([0, 4], (len(logits), 1))
    solution = solve((weight, logits, targets))
    assert (solution.status == "infeasible").all()
    assert not solution.direction.any()


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_projected_features_are_in_order(convert):
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((5, 7)), rng.standard_normal(5)
    features = rng.standard_normal((6, 7))
    targets = sample_ordered_targets(np.zeros(6, int), 5, 3, 0)
    moved = np.asarray(
        project_features(*map(convert, (features, weight, bias, targets)))
    )
    assert ordered_top_k_success(moved @ weight.T + bias, targets).all()
    weight[1] = weight[0]
    stuck = project_features(features, weight, bias * 0, np.tile([0, 1], (6, 1)))
    assert np.isnan(stuck).all()


def test_success_ranks_equal_scores_as_a_stable_sort_and_refuses_nan():
    logits = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [np.nan, 2.0, 1.0]])
    targets = np.array([[0, 1], [1, 0], [1, 2]])
    expected = [True, False, False]
    assert ordered_top_k_success(logits, targets).tolist() == expected
    tensors = torch.as_tensor(logits), torch.as_tensor(targets)
    assert ordered_top_k_success(*tensors).tolist() == expected


def test_drawn_targets_are_uniform_and_never_true():
    y = np.full(6000, 2)
    targets = sample_ordered_targets(y, 4, 2, random_state=0)
    pairs, counts = np.unique(targets, axis=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 3], [1, 0], [1, 3], [3, 0], [3, 1]]
    assert np.abs(counts - 1000).max() < 120
    again = sample_ordered_targets(y, 4, 2, random_state=0)
    np.testing.assert_array_equal(targets, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": [[0, 1], [2, 2]]}, "targets row 1 holds a class twice"),
        ({"targets": [[0, 1], [2, 5]]}, "targets row 1 holds an unknown class"),
        ({"targets": [[-1, 1], [2, 0]]}, "targets row 0 holds an unknown class"),
        ({"targets": [[0, 1]]}, r"targets must have shape \(2, k\), got \(1, 2\)"),
        ({"targets": [[0, 1, 2]] * 2}, "k must be between 1 and 2"),
        ({"logits": [[0, 1, np.nan]] * 2}, "logits must be finite"),
        (
            {"gram": np.eye(4)},
            r"matrix of classes must have shape \(3, 3\), got \(4, 4\)",
        ),
        ({"margin": -0.1}, "margin must be at least 0, got -0.1"),
        ({"tol": 0.0}, "tol.*must be a float in the range"),
        ({"max_iter": 0}, "max_iter.*must be an int in the range"),
        ({"gram": None}, "give exactly one of gram and weight, got neither"),
        ({"weight": np.eye(3)}, "give exactly one of gram and weight, got both"),
        (
            {"gram": None, "weight": np.eye(4)},
            r"weight must have shape \(3, n_features\), got \(4, 4\)",
        ),
        ({"solver": "simplex"}, "solver.*must be a str among.*Got 'simplex'"),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_bad_problems_are_refused_with_the_reason(change, message, convert):
    call = {"logits": np.eye(3)[:2], "targets": [[0, 1], [2, 0]], "gram": np.eye(3)}
    call |= change
    call["logits"] = convert(call["logits"])
    with pytest.raises(ValueError, match=message):
        solve_ordered_top_k(**call)


@pytest.mark.parametrize("k", [0, 3])
def test_too_few_or_too_many_targets_can_not_be_drawn(k):
    with pytest.raises(ValueError, match="k must be between 1 and 2"):
        sample_ordered_targets([0, 1], 3, k)
    with pytest.raises(ValueError, match="y must hold classes from 0 to 2"):
        sample_ordered_targets([0, 3], 3, 1)
