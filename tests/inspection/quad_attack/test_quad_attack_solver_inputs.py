"""The ordering programme: what it refuses, and numbers of any scale and layout."""

import numpy as np
import pytest
import torch

from minimalml.inspection import sample_ordered_targets, solve_ordered_top_k
from tests.inspection.quad_attack.test_quad_attack_solver import (
    as_tensors,
    make_problem,
    solve,
)


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
            r"gram must have shape \(3, 3\), got \(4, 4\)",
        ),
        ({"margin": -0.1}, "margin must be finite and at least 0, got -0.1"),
        ({"tol": 0.0}, "tol.*must be a float in the range"),
        ({"max_iter": 0}, "max_iter.*must be an int in the range"),
        ({"gram": None}, "give exactly one of gram and weight, got neither"),
        ({"weight": np.eye(3)}, "give exactly one of gram and weight, got both"),
        (
            {"gram": None, "weight": np.eye(4)},
            r"weight must have shape \(3, n_features\), got \(4, 4\)",
        ),
        ({"solver": "simplex"}, "solver.*must be a str among.*Got 'simplex'"),
        ({"gram": np.full((3, 3), np.nan)}, "gram must be finite"),
        ({"gram": np.diag([1.0, np.inf, 1.0])}, "gram must be finite"),
        ({"gram": np.eye(3) + np.eye(3, k=1)}, "gram must be symmetric"),
        ({"gram": np.diag([1.0, -1.0, 1.0])}, "gram must be positive semidefinite"),
        ({"gram": np.ones((3, 3)) - np.eye(3)}, "gram must be positive semidefinite"),
        ({"gram": None, "weight": [[1.0], [np.nan], [0.0]]}, "weight must be finite"),
        ({"gram": None, "weight": 1e200 * np.eye(3)}, "weight is out of the range"),
        ({"gram": 1e-310 * np.eye(3)}, "gram is out of the range"),
        ({"gram": np.eye(3)[0]}, r"gram must have shape \(3, 3\), got \(3,\)"),
        ({"margin": np.inf}, "margin must be finite and at least 0, got inf"),
        ({"margin": np.nan}, "margin must be finite and at least 0, got nan"),
        ({"targets": [[0.5, 1], [2, 0]]}, "targets must be integers, got float64"),
        (
            {"warm_start": np.zeros((2, 3))},
            r"warm_start must have shape \(2, 2\), got \(2, 3\)",
        ),
        ({"warm_start": np.full((2, 2), np.nan)}, "warm_start must be finite"),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_bad_problems_are_refused_with_the_reason(change, message, convert):
    call = {"logits": np.eye(3)[:2], "targets": [[0, 1], [2, 0]], "gram": np.eye(3)}
    call |= change
    call["logits"] = convert(call["logits"])
    with pytest.raises(ValueError, match=message):
        solve_ordered_top_k(**call)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test_an_indefinite_matrix_is_found_out_where_it_matters(convert):
    # no entry exceeds the diagonal, but its lowest eigenvalue is -0.27
    gram = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]])
    with pytest.raises(ValueError, match="gram must be positive semidefinite"):
        solve_ordered_top_k(convert([[0.0, 2.0, 0.0]]), [[0, 2]], convert(gram))


def test_a_matrix_of_single_precision_counts_as_semidefinite():
    weight, logits, targets = make_problem(0, 60, 5, 2, n_samples=20)
    single = weight.astype(np.float32)
    solution = solve_ordered_top_k(logits, targets, single @ single.T)
    exact = solve((single.astype(float), logits, targets))
    is_optimal = exact.status == "optimal"
    assert is_optimal.any() and (solution.status[is_optimal] == "optimal").all()


def test_a_third_party_takes_no_tensors():
    problem = as_tensors(make_problem(0, 4, 6, 2))
    with pytest.raises(ValueError, match="solver='cvxpy' needs arrays, got tensors"):
        solve(problem, solver="cvxpy")


@pytest.mark.parametrize("convert", [lambda p: p, as_tensors], ids=["numpy", "torch"])
@pytest.mark.parametrize("unit", [2.0**-500, 2.0**-30, 2.0**30, 2.0**500])
def test_heads_of_any_scale_are_solved_alike(convert, unit):
    weight, logits, targets = make_problem(0, 30, 40, 4, n_samples=6)
    expected = solve((weight, logits, targets))
    head, logits, targets = convert((weight * unit, logits, targets))
    for matrix in ({"gram": head @ head.T}, {"weight": head}):
        ours = solve_ordered_top_k(logits, targets, **matrix)
        assert (ours.status == "optimal").all()
        moved = (np.asarray(ours.direction) * unit) @ (weight * unit)
        np.testing.assert_allclose(moved, expected.direction @ weight, atol=1e-9)
        distance = np.asarray(ours.distance_squared) * unit * unit
        np.testing.assert_allclose(distance, expected.distance_squared)
        again = solve_ordered_top_k(logits, targets, **matrix, warm_start=ours.dual)
        assert int(again.n_iter.max()) <= 1 < int(ours.n_iter.max())


@pytest.mark.parametrize("flip", [np.s_[::-1], np.s_[:, ::-1]])
def test_arrays_can_run_backwards(flip):
    weight, logits, targets = make_problem(0, 8, 10, 3)
    gram = np.asfortranarray(weight @ weight.T)
    expected = solve_ordered_top_k(logits[flip].copy(), targets[flip].copy(), gram)
    ours = solve_ordered_top_k(logits[flip], targets[flip], gram)
    np.testing.assert_array_equal(ours.direction, expected.direction)
    tensors = torch.as_tensor(logits[flip].copy()), targets[flip], gram[::-1, ::-1]
    theirs = solve_ordered_top_k(*tensors)
    plain = solve_ordered_top_k(
        tensors[0], targets[flip].copy(), gram[::-1, ::-1].copy()
    )
    np.testing.assert_array_equal(theirs.direction, plain.direction)


@pytest.mark.parametrize("k", [0, 3])
def test_too_few_or_too_many_targets_can_not_be_drawn(k):
    with pytest.raises(ValueError, match="k must be between 1 and 2"):
        sample_ordered_targets([0, 1], 3, k)
    with pytest.raises(ValueError, match="y must hold classes from 0 to 2"):
        sample_ordered_targets([0, 3], 3, 1)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("matrix", ["gram", "weight"])
def test_no_samples_are_solved_as_well(convert, matrix):
    logits, targets = convert(np.zeros((0, 3))), np.zeros((0, 1), dtype=int)
    solution = solve_ordered_top_k(logits, targets, **{matrix: np.eye(3)})
    assert solution.direction.shape == (0, 3) and solution.dual.shape == (0, 2)
