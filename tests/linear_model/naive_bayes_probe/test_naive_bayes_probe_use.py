"""NaiveBayesProbe with bad input, inside scikit-learn's tools, torch and Dask."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_score,
)

from minimalml.linear_model import (
    NaiveBayesProbe,
    class_moments,
    cross_validate_naive_bayes,
)

X, Y = load_iris(return_X_y=True)
# one rounding of a float32 logit of size 100
FLOAT32_TOLERANCE = 1e-4


# leaves out rows from training as well
FEW_ROWS = ShuffleSplit(3, test_size=0.2, train_size=0.5, random_state=0)


def refuse(message, *arguments, method="fit", **params):
    with pytest.raises(ValueError, match=message):
        getattr(NaiveBayesProbe(**params), method)(*arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("convert", [np.array, sparse.csr_array])
def test_nan_and_infinity_are_rejected_in_fit_and_predict(value, convert):
    spoiled = X.copy()
    spoiled[3, 1] = value
    refuse("Input X contains", convert(spoiled), Y)
    with pytest.raises(ValueError, match="Input X contains"):
        NaiveBayesProbe().fit(X, Y).predict(convert(spoiled))


def test_one_class_is_refused_in_fit():
    refuse("needs samples of at least 2 classes, got one class", X, np.zeros(150))
    probe = NaiveBayesProbe()
    with pytest.raises(ValueError, match="at least 2 classes"):
        probe.partial_fit(X, np.zeros(150), classes=[0])


def test_unknown_labels_are_listed():
    probe = NaiveBayesProbe().partial_fit(X, Y, classes=[0, 1, 2])
    message = r"y has labels \[7 8\] that are not in classes=\[0 1 2\]"
    with pytest.raises(ValueError, match=message):
        probe.partial_fit(X[:3], [7, 8, 0])


def test_classes_are_needed_first_and_may_not_change():
    probe = NaiveBayesProbe()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        probe.partial_fit(X, Y)
    probe.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not the same as on the first call"):
        probe.partial_fit(X, Y, classes=[0, 1])


def test_bad_weights_are_refused():
    refuse("sample_weight must not be negative, got -1", X, Y, -np.ones(150))
    refuse("sample_weight is zero for every sample", X, Y, np.zeros(150))


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ([0.5, 0.5], r"one number for each of the 3 classes, got shape \(2,\)"),
        ([-0.5, 0.5, 1.0], "priors must not be negative, got -0.5"),
        ([0.5, 0.5, 0.1], "priors must sum to 1, got 1.1"),
        ([0.5, np.nan, 0.5], "priors must not be negative"),
    ],
)
def test_bad_priors_are_refused(priors, message):
    refuse(message, X, Y, priors=priors)


def test_priors_need_a_class_with_samples():
    weights = (Y != 2).astype(float)
    refuse("priors are 0 for every class that has", X, Y, weights, priors=[0, 0, 1.0])


def test_a_batch_that_was_refused_is_not_counted():
    probe = NaiveBayesProbe(priors=[0.5, 0.5])
    with pytest.raises(ValueError, match="one number for each of the 3 classes"):
        probe.partial_fit(X, Y, classes=[0, 1, 2])
    probe.set_params(priors=None).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        probe.partial_fit(np.full((1, 4), np.nan), Y[:1])
    assert probe.n_samples_seen_ == len(X)


def test_a_variance_of_zero_is_named():
    constant = X.copy()
    constant[:, 2] = Y
    message = "shared variance of feature 2 is zero; set var_smoothing > 0"
    refuse(message, constant, Y, var_smoothing=0)
    refuse("per-class variance of feature 2", constant, Y,
           var_smoothing=0, variance="per_class")  # fmt: skip


def test_pooled_needs_more_samples_than_classes():
    refuse("which is 0: give more samples or use ddof='ml'", X[::50], Y[::50],
           ddof="pooled")  # fmt: skip


def test_a_stream_may_start_with_too_few_rows():
    probe = NaiveBayesProbe(var_smoothing=0)
    probe.partial_fit(X[:1], Y[:1], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="variance of feature 0 is zero"):
        probe.predict(X)
    probe.partial_fit(X[1:], Y[1:])
    expected = NaiveBayesProbe(var_smoothing=0).fit(X, Y)
    np.testing.assert_allclose(probe.coef_, expected.coef_)


def test_statistics_must_serve_the_variant():
    stats = class_moments(X, Y, 3)
    with pytest.raises(ValueError, match="per_class=True"):
        NaiveBayesProbe.from_statistics(stats, variance="per_class")


@pytest.mark.parametrize("exponent", [-530, -300, 300, 508])
@pytest.mark.parametrize("shrinkage", [0.0, "auto"])
def test_a_power_of_two_changes_no_probability(exponent, shrinkage):
    probe = NaiveBayesProbe(shrinkage=shrinkage)
    expected = probe.fit(X, Y).predict_log_proba(X)
    scaled = np.ldexp(X, exponent)
    found = probe.fit(scaled, Y).predict_log_proba(scaled)
    # below 2**-1022 a variance has fewer digits
    tolerance = 1e-9 if exponent > -500 else 2e-2
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e160, 1e300])
@pytest.mark.parametrize("convert", [np.array, sparse.csr_array, "tensor"])
def test_squares_out_of_range_are_refused(scale, convert):
    if convert == "tensor":
        convert = pytest.importorskip("torch").from_numpy
    message = "out of float64's range" if scale < 1 else "overflows float64"
    refuse(message, convert(X * scale), Y)
    probe = NaiveBayesProbe().fit(X, Y)
    if scale > 1:
        with pytest.raises(ValueError, match=message):
            probe.partial_fit(convert(X * scale), Y)
        assert probe.n_samples_seen_ == 150


def test_classes_too_far_apart_for_their_variance_are_refused():
    rows, labels = np.array([[0.0], [1e-3], [1e152], [1e152]]), [0, 0, 1, 1]
    refuse("logits leave float64's range", rows, labels, smoothing="absolute")
    refuse("X overflows float64 when summed and squared", rows * 1e50, labels)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e30, 1e37])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_float32_rows_of_any_scale_are_told_apart(scale, n_classes):
    torch = pytest.importorskip("torch")
    rows = (X[Y < n_classes] * scale).astype(np.float32)
    y = Y[Y < n_classes]
    probe = NaiveBayesProbe().fit(rows, y)
    expected = (
        NaiveBayesProbe().fit(X[Y < n_classes], y).predict_proba(X[Y < n_classes])
    )
    for data in (rows, torch.from_numpy(rows), sparse.csr_array(rows)):
        proba = probe.predict_proba(data)
        np.testing.assert_allclose(proba, expected, atol=1e-3)
    joint = probe.joint_log_likelihood(torch.from_numpy(rows))
    np.testing.assert_allclose(joint, probe.joint_log_likelihood(rows), rtol=1e-6)


@pytest.mark.parametrize("cv", [3, KFold(7), GroupKFold(4), FEW_ROWS])
@pytest.mark.parametrize("variance", ["shared", "per_class"])
@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_one_pass_cross_validation_gives_the_usual_scores(cv, variance, scoring):
    data, y = load_digits(return_X_y=True)
    groups = np.arange(len(y)) % 11 if isinstance(cv, GroupKFold) else None
    probe = NaiveBayesProbe(variance=variance, var_smoothing=1e-2, shrinkage=0.1)
    expected = cross_val_score(probe, data, y, cv=cv, scoring=scoring, groups=groups)
    scores = cross_validate_naive_bayes(
        data, y, cv, estimator=probe, scoring=scoring, groups=groups
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-10)


def test_one_pass_cross_validation_takes_weights_and_sparse_rows():
    weights = np.random.default_rng(0).integers(0, 3, size=150)
    expected = cross_val_score(
        NaiveBayesProbe(), X, Y, cv=4, params={"sample_weight": weights}
    )
    scores = cross_validate_naive_bayes(
        sparse.csr_array(X), Y, 4, sample_weight=weights
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-10)


def test_calibration_mends_the_log_loss():
    data, y = load_breast_cancer(return_X_y=True)
    plain = cross_val_score(NaiveBayesProbe(), data, y, scoring="neg_log_loss")
    mended = cross_val_score(
        CalibratedClassifierCV(NaiveBayesProbe()), data, y, scoring="neg_log_loss"
    )
    assert mended.mean() > plain.mean()


def test_parameters_set_after_fit_wait_for_the_next_fit():
    quadratic = NaiveBayesProbe(variance="per_class").fit(X, Y)
    expected = quadratic.predict_proba(X)
    quadratic.set_params(variance="shared")
    np.testing.assert_array_equal(quadratic.predict_proba(X), expected)
    linear = NaiveBayesProbe().fit(X, Y).set_params(variance="per_class")
    expected = NaiveBayesProbe().fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(linear.predict_proba(X), expected)


def test_a_stream_may_pool_its_scatter_but_not_split_it():
    halves = slice(0, None, 2), slice(1, None, 2)
    probe = NaiveBayesProbe(variance="per_class").fit(X[halves[0]], Y[halves[0]])
    probe.set_params(variance="shared").partial_fit(X[halves[1]], Y[halves[1]])
    np.testing.assert_allclose(probe.coef_, NaiveBayesProbe().fit(X, Y).coef_)
    probe.set_params(variance="per_class")
    with pytest.raises(ValueError, match=r"scatter of each class.*or call fit"):
        probe.partial_fit(X, Y)
    assert probe.n_samples_seen_ == 150


def test_refitting_forgets_what_was_before():
    probe = NaiveBayesProbe().fit(X * 3 + 1, Y)
    first = NaiveBayesProbe().fit(X, Y)
    np.testing.assert_array_equal(probe.fit(X, Y).coef_, first.coef_)
    assert not hasattr(probe.set_params(variance="per_class").fit(X, Y), "coef_")


def test_the_result_does_not_depend_on_n_jobs():
    rng = np.random.default_rng(0)
    data, y = rng.normal(size=(5000, 20)).astype(np.float32), rng.integers(3, size=5000)
    coefs = [NaiveBayesProbe(n_jobs=n).fit(data, y).coef_ for n in (None, 1, 3)]
    np.testing.assert_array_equal(coefs[0], coefs[1])
    np.testing.assert_array_equal(coefs[0], coefs[2])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("variance", ["shared", "per_class"])
def test_tensors_in_give_the_same_as_tensors(variance, n_classes):
    torch = pytest.importorskip("torch")
    rows = Y < n_classes
    data, y = X[rows], Y[rows]
    probe = NaiveBayesProbe(variance=variance).fit(data, y)
    on_torch = NaiveBayesProbe(variance=variance)
    on_torch.fit(torch.from_numpy(data), torch.from_numpy(y))
    np.testing.assert_allclose(on_torch.var_, probe.var_, rtol=1e-10)
    for method in ("joint_log_likelihood", "decision_function", "predict",
                   "predict_proba", "predict_log_proba"):  # fmt: skip
        result = getattr(on_torch, method)(torch.from_numpy(data))
        assert torch.is_tensor(result)
        np.testing.assert_allclose(result, getattr(probe, method)(data), rtol=1e-8)


def test_tensors_stream_and_numpy_moves_to_the_device():
    torch = pytest.importorskip("torch")
    tensor, labels = torch.from_numpy(X).float(), torch.from_numpy(Y)
    probe = NaiveBayesProbe()
    for part in torch.arange(150).split(40):
        probe.partial_fit(tensor[part], labels[part], classes=[0, 1, 2])
    moved = NaiveBayesProbe(device="cpu").fit(X, Y)
    plain = NaiveBayesProbe().fit(X, Y)
    np.testing.assert_allclose(moved.coef_, plain.coef_, rtol=1e-9)
    np.testing.assert_allclose(probe.coef_, plain.coef_, rtol=FLOAT32_TOLERANCE)
    names = NaiveBayesProbe().fit(tensor, np.array(list("abc"))[Y]).predict(tensor)
    assert isinstance(names, np.ndarray) and set(names) == set("abc")


def tight_unit_rows(torch):
    """Half-precision rows of ten classes, each of which is a tight cone."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 10
    rows = (1 + rng.normal(size=(10, 256)))[y] + 1e-2 * rng.normal(size=(200, 256))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return torch.from_numpy(rows).half(), y


def test_half_precision_rows_are_scored_in_single(torch):
    rows, y = tight_unit_rows(torch)
    probe = NaiveBayesProbe().fit(rows, y)
    expected = NaiveBayesProbe().fit(rows.double(), y).predict_proba(rows.double())
    proba = probe.predict_proba(rows)
    assert proba.dtype == torch.float32
    assert probe.decision_function(rows).abs().max() > 65504  # the largest half number
    np.testing.assert_allclose(proba, expected, atol=FLOAT32_TOLERANCE)
    joint = probe.joint_log_likelihood(rows)
    np.testing.assert_array_equal(joint.argmax(dim=1), y)


def test_the_linear_layer_is_no_narrower_than_single(torch):
    rows, y = tight_unit_rows(torch)
    probe = NaiveBayesProbe().fit(rows, y)
    torch.set_default_dtype(torch.float16)
    try:
        head = probe.to_torch()
    finally:
        torch.set_default_dtype(torch.float32)
    assert head.weight.dtype == torch.float32
    np.testing.assert_array_equal(head(rows.float()).argmax(dim=1), y)


def test_a_linear_layer_needs_a_linear_classifier_in_range(torch):
    with pytest.raises(ValueError, match="to_torch needs a linear classifier"):
        NaiveBayesProbe(variance="per_class").fit(X, Y).to_torch()
    with pytest.raises(ValueError, match=r"out of the range of torch.float32"):
        NaiveBayesProbe().fit(X * 1e-50, Y).to_torch()


def test_views_back_to_front_and_one_column_of_labels_serve_tensors_too(torch):
    pd = pytest.importorskip("pandas")
    expected = NaiveBayesProbe().fit(X, Y).coef_
    back = NaiveBayesProbe(device="cpu").fit(X[::-1], Y[::-1])
    np.testing.assert_allclose(back.coef_, expected, rtol=1e-9)
    tensor = torch.from_numpy(X[::-1].copy())
    weights = np.ones(150)[::-1]
    moments = class_moments(tensor, Y[::-1], 3, weights)
    np.testing.assert_allclose(moments.means, class_moments(X, Y, 3).means)
    table = pd.DataFrame({"label": Y[::-1]})
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        probe = NaiveBayesProbe().fit(tensor, table)
    np.testing.assert_allclose(probe.coef_, expected, rtol=1e-9)
    column = torch.from_numpy(table.to_numpy().copy())
    np.testing.assert_array_equal(
        NaiveBayesProbe().fit(tensor, column).coef_, probe.coef_
    )


def test_one_column_of_labels_is_cross_validated():
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        scores = cross_validate_naive_bayes(X, Y[:, None], 3)
    np.testing.assert_array_equal(scores, cross_validate_naive_bayes(X, Y, 3))


def test_bad_tensors_are_refused():
    torch = pytest.importorskip("torch")
    tensor, labels = torch.from_numpy(X), torch.from_numpy(Y)
    refuse("X must be a floating-point tensor", tensor.long(), labels)
    refuse(r"needs y of .* same length, got shape \(3,\)", tensor, labels[:3])
    spoiled = tensor.clone()
    spoiled[3, 1] = torch.nan
    refuse("Input X contains NaN or infinity", spoiled, labels)
    probe = NaiveBayesProbe().fit(tensor, labels)
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        probe.predict(spoiled)
    with pytest.raises(ValueError, match="X has 3 features, but NaiveBayesProbe is"):
        probe.predict(tensor[:, :3])


def test_a_tensor_whose_sum_overflows_is_not_refused():
    torch = pytest.importorskip("torch")
    data = torch.from_numpy(X).float()
    probe = NaiveBayesProbe().fit(data, Y)
    assert probe.predict(torch.full((40, 4), 1e37)).shape == (40,)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_linear_layer_has_the_same_logits(n_classes):
    torch = pytest.importorskip("torch")
    rows = Y < n_classes
    probe = NaiveBayesProbe(var_smoothing=1e-3).fit(X[rows], Y[rows])
    head = probe.to_torch()
    assert isinstance(head, torch.nn.Linear) and head.out_features == n_classes
    logits = head(torch.from_numpy(X).float())
    if n_classes == 3:
        expected = probe.decision_function(X)
        np.testing.assert_allclose(logits.detach(), expected, rtol=FLOAT32_TOLERANCE)
    proba = logits.softmax(dim=1).detach()
    np.testing.assert_allclose(proba, probe.predict_proba(X), atol=FLOAT32_TOLERANCE)
    logits.sum().backward()


def test_dask_arrays_are_pointed_to_their_function():
    da = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match=r"compute\(\) it, or .*from_statistics"):
        NaiveBayesProbe().fit(da.from_array(X), Y)


def dask_moments(rows, labels, classes, **params):
    """Measure blocks where they are and add them along a tree, as the page has it."""
    import dask

    @dask.delayed
    def moments_of(rows, labels):
        probe = NaiveBayesProbe(**params)
        return probe.partial_fit(rows, labels, classes).sufficient_statistics()

    blocks = zip(rows.to_delayed().ravel(), labels.to_delayed(), strict=True)
    parts = [moments_of(*block) for block in blocks]
    while len(parts) > 1:
        parts = [dask.delayed(sum)(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0].compute()


@pytest.mark.parametrize("variance", ["shared", "per_class"])
def test_blocks_of_any_size_give_the_one_machine_fit(variance):
    da = pytest.importorskip("dask.array")
    chunks = ((1, 60, 40, 49),)
    rows = da.from_array(X + 1e8, chunks=(*chunks, -1))
    moments = dask_moments(
        rows, da.from_array(Y, chunks=chunks), [2, 1, 0], variance=variance
    )
    probe = NaiveBayesProbe.from_statistics(moments, variance=variance)
    whole = NaiveBayesProbe(variance=variance).fit(X + 1e8, Y)
    np.testing.assert_allclose(probe.theta_, whole.theta_, rtol=1e-10)
    np.testing.assert_allclose(probe.var_, whole.var_, rtol=1e-9)


@pytest.fixture
def two_workers():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def random_rows(block, seen=None):
    """Make one block of rows on the worker; leave a mark that it was made."""
    if seen is not None:
        (seen / f"{block}-{os.getpid()}").touch()
        time.sleep(0.1)
    rng = np.random.default_rng(block)
    return rng.normal(size=(5000, 16)) + (np.arange(5000) % 4)[:, None] + 1e4


def dask_rows(n_blocks, seen=None):
    import dask
    import dask.array as da

    make = dask.delayed(random_rows)
    blocks = [
        da.from_delayed(make(b, seen), (5000, 16), dtype=float) for b in range(n_blocks)
    ]
    return da.concatenate(blocks), da.from_array(
        np.tile(np.arange(5000) % 4, n_blocks), chunks=5000
    )


def one_machine_fit(n_blocks):
    rows = np.concatenate([random_rows(b) for b in range(n_blocks)])
    return NaiveBayesProbe().fit(rows, np.tile(np.arange(5000) % 4, n_blocks))


@pytest.mark.slow
def test_two_worker_processes_give_the_one_machine_fit(two_workers):
    assert len(two_workers.scheduler_info()["workers"]) == 2
    probe = NaiveBayesProbe.from_statistics(dask_moments(*dask_rows(8), range(4)))
    whole = one_machine_fit(8)
    np.testing.assert_allclose(probe.coef_, whole.coef_, rtol=1e-10)
    np.testing.assert_allclose(probe.var_, whole.var_, rtol=1e-10)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(two_workers, tmp_path):
    results = []
    rows = dask_rows(40, tmp_path)
    task = threading.Thread(
        target=lambda: results.append(dask_moments(*rows, range(4)))
    )
    task.start()
    while len(list(tmp_path.iterdir())) < 6 and task.is_alive():
        time.sleep(0.01)
    victim = int(next(tmp_path.iterdir()).name.partition("-")[2])
    os.kill(victim, signal.SIGKILL)
    task.join()
    made = {int(mark.name.partition("-")[2]) for mark in tmp_path.iterdir()}
    assert len(made) >= 2 and len(list(tmp_path.iterdir())) > 40
    probe = NaiveBayesProbe.from_statistics(results[0])
    np.testing.assert_allclose(probe.coef_, one_machine_fit(40).coef_, rtol=1e-10)


@pytest.mark.slow
def test_grid_search_runs_on_the_workers(two_workers):
    grid = {"var_smoothing": [1e-9, 1e-3], "variance": ["shared", "spherical"]}
    search = GridSearchCV(NaiveBayesProbe(), grid, cv=3)
    with parallel_config(backend="dask"):
        remote = search.fit(X, Y).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(
        remote, clone(search).fit(X, Y).cv_results_["mean_test_score"]
    )


GATHER = """
import sys, numpy as np, torch, torch.distributed as dist
from minimalml.linear_model import NaiveBayesProbe, class_moments
rank, variance = int(sys.argv[1]), sys.argv[4]
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
X, y = np.load(sys.argv[3])["X"], np.load(sys.argv[3])["y"]
rows = slice(0, 30) if rank == 0 else slice(30, None)
features, per_class = torch.from_numpy(X[rows]), variance == "per_class"
parts = [None] * dist.get_world_size()
dist.all_gather_object(parts, class_moments(features, y[rows], 3, per_class=per_class).to_numpy())
total, whole = sum(parts), class_moments(X, y, 3, per_class=per_class)
np.testing.assert_allclose(total.means, whole.means, rtol=1e-10)
np.testing.assert_allclose(total.scatter, whole.scatter, rtol=1e-9)
one, two = (NaiveBayesProbe.from_statistics(s, variance=variance) for s in (total, whole))
np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), rtol=1e-6, atol=1e-9)
assert one.n_samples_seen_ == len(X)
dist.destroy_process_group()
print("equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["shared", "per_class"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_two_processes_that_gather_see_what_one_sees(tmp_path, variance, offset):
    pytest.importorskip("torch.distributed")
    np.savez(tmp_path / "rows.npz", X=X + offset, y=Y)
    arguments = [str(tmp_path / "meet"), str(tmp_path / "rows.npz"), variance]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", GATHER, str(rank), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        said, errors = rank.communicate()
        assert said.strip().endswith("equal"), errors
