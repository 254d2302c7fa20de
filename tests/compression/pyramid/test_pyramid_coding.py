"""Weights and rows as codes: what is lost, what bits buy, what codes alone give back."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from minimalml.compression import (
    EncodedWeight,
    PyramidCodec,
    PyramidQuantizer,
    WeightQuantizer,
    load_weights,
    unpack_codes,
)
from minimalml.compression._pyramid import _coded_rows
from minimalml.compression._pyramid._coded_rows import decode_rows, encode_scaled_rows
from minimalml.compression._pyramid._gain_levels import beta_levels
from minimalml.compression._pyramid._group_plan import (
    code_widths,
    even_plan,
    variance_plan,
)

seeds = st.integers(0, 10**6)
# Mean squared error of the best scalar code (Lloyd, Max) of a Gaussian at 2, 3 and 4 bits
SCALAR = {2: 0.1175, 3: 0.03454, 4: 0.009497}


def random_hessian(rng, n):
    rows = rng.normal(size=(2 * n, n)) @ rng.normal(size=(n, n))
    return rows.T @ rows / (2 * n) + 0.01 * np.eye(n)


def loss(error, hessian):
    return np.einsum("ij,jk,ik->i", error, hessian, error)


def share_lost(X, decoded):
    return ((decoded - X) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()


# --- plans ---


@given(
    n=st.integers(1, 70), bits=st.floats(0.3, 3.5), size=st.integers(1, 18),
    gain_bits=st.integers(0, 6),
)  # fmt: skip
def test_plans_keep_to_the_bits_asked_for(n, bits, size, gain_bits):
    variances = np.exp(-np.arange(n))
    for plan in (even_plan, lambda n, *rest: variance_plan(variances, *rest)):
        try:
            groups = plan(n, bits, size, gain_bits)
        except ValueError as error:
            assert "gives no group the bits of one pulse" in str(error)
            continue
        assert sum(code_widths(groups)) <= bits * n + 1e-9
        assert [g.start for g in groups] == list(range(0, n, min(size, n)))
        assert sum(g.size for g in groups) == n
        assert all(g.shape_bits <= 64 for g in groups)
        assert all((g.n_pulses > 0) == (g.shape_bits > 0) for g in groups)


def test_known_plans():
    tuples = [tuple(group) for group in even_plan(40, 2.0, 16, 1)]
    assert tuples == [(0, 16, 1, 11, 31), (16, 16, 1, 11, 31), (32, 8, 1, 6, 15)]
    assert even_plan(16, 2.0, 16, 3) == [(0, 16, 0, 12, 32)]  # no gain of the whole
    assert even_plan(20, 1.0, 16, 0)[1] == (16, 4, 0, 1, 3)
    assert even_plan(18, 1.0, 16, 0)[1] == (16, 2, 0, 1, 2)
    assert even_plan(17, 0.9, 16, 0)[1] == (16, 1, 0, 0, 0)
    # twice the amplitude: a bit a column more
    first, second = variance_plan(np.repeat([4.0, 1.0], 8), 2.0, 8, None)
    assert first.gain_bits == 3 and second.gain_bits == 2
    assert first.shape_bits + 3 == 20 and second.shape_bits + 2 <= 12
    # too little for all: the last group goes without, its bits to the others
    sizes = [g.shape_bits + g.gain_bits for g in variance_plan(np.ones(16), 0.5, 8, 0)]
    assert sizes == [4, 4]
    sizes = [g.shape_bits for g in variance_plan(np.ones(24), 0.35, 8, 0)]
    assert sizes == [4, 4, 0]


# --- weights ---


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_gaussian_weights_beat_the_best_scalar_code(rng, bits):
    weight = rng.normal(size=(400, 256))
    encoded = PyramidCodec(bits, random_state=0).encode(weight)
    assert encoded.bits_per_weight <= bits + 16 / 256 + 0.001
    error = np.mean((encoded.decode() - weight) ** 2)
    assert error <= {2: 0.92, 3: 0.82, 4: 0.72}[bits] * SCALAR[bits]


@given(
    seed=seeds, m=st.integers(1, 9), n=st.integers(2, 40), bits=st.floats(1.5, 3.3),
    rotation=st.booleans(),
)  # fmt: skip
def test_loss_with_feedback_is_what_is_reported(seed, m, n, bits, rotation):
    rng = np.random.default_rng(seed)
    weight, hessian = rng.normal(size=(m, n)), random_hessian(rng, n)
    reports, feed_back = [], _coded_rows.feed_back

    def spy(rows, metric, *rest):
        reports.append((rows, metric, *feed_back(rows, metric, *rest)))
        return reports[-1][2:]

    codec = PyramidCodec(bits, rotation=rotation, random_state=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_coded_rows, "feed_back", spy)
        encoded = codec.encode(weight, hessian)
    [(rows, metric, decoded, reported)] = reports
    np.testing.assert_allclose(loss(rows - decoded, metric).sum(), reported, rtol=1e-8)
    copy = {name: array.copy() for name, array in encoded.arrays.items()}
    again = EncodedWeight("PyramidCodec", (m, n), copy, dict(encoded.meta)).decode()
    np.testing.assert_array_equal(again, encoded.decode())
    # fitting the scale again took nothing away, but for its rounding
    found = loss(weight - again, hessian).sum()
    before = reported * float(encoded.arrays["scale"][0]) ** 2
    assert found <= before + 2**-20 * loss(2 * weight, hessian).sum()


@given(seed=seeds)
def test_scales_are_the_best_for_their_codes(seed):
    rng = np.random.default_rng(seed)
    rows, hessian = rng.normal(size=(6, 24)), random_hessian(rng, 24)
    plan = even_plan(24, 2.0, 8, 1)
    levels = [beta_levels(8, 24, 1)] * 3
    codes, scales = encode_scaled_rows(rows, hessian, plan, levels)
    unit, scales = decode_rows(codes, plan, levels), scales.astype(float)
    best = np.einsum("ij,jk,ik->i", rows, hessian, unit) / loss(unit, hessian)
    np.testing.assert_allclose(scales, best, rtol=2**-10)


@pytest.mark.parametrize("unit", [1.0, 1e-30, 1e30])
def test_zero_rows_and_units(rng, unit):
    weight = rng.normal(size=(5, 24)) * unit
    weight[2] = 0
    codec = PyramidCodec(2.5, random_state=0)
    decoded = codec.encode(weight).decode()
    assert (decoded[2] == 0).all()
    np.testing.assert_allclose(decoded, codec.encode(weight / unit).decode() * unit,
                               rtol=1e-6)  # fmt: skip
    assert (codec.encode(0 * weight).decode() == 0).all()
    order = [3, 1, 0, 2, 4]
    np.testing.assert_allclose(codec.encode(weight[order]).decode(), decoded[order])


def test_meta_resolves_what_was_left_open(rng):
    weight = rng.normal(size=(3, 20))
    meta = PyramidCodec(2, 99, random_state=3).encode(weight).meta
    assert (meta["bits"], meta["group_size"], meta["gain_bits"]) == (2.0, 99, 1)
    assert meta == PyramidCodec(2, 99, random_state=3).encode(weight).meta
    meta = PyramidCodec(9, 4, rotation=False).encode(weight).meta
    assert meta["gain_bits"] == 6 and meta["seed"] is None


def test_search_and_file_of_a_network(tmp_path):
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    network = MLPClassifier((16,), solver="lbfgs", tol=1e-2, random_state=0)
    quantizer = WeightQuantizer(network, PyramidCodec(), random_state=0)
    model = make_pipeline(MinMaxScaler(), quantizer)
    grid = {"weightquantizer__codec__bits": [1.2, 4.0]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_params_["weightquantizer__codec__bits"] == 4.0
    assert search.best_score_ > 0.75
    best = search.best_estimator_[-1]
    best.save(tmp_path / "model.npz")
    inner = network.fit(X / 16, y)
    read = load_weights(inner, tmp_path / "model.npz")
    rows = search.best_estimator_[0].transform(X)
    np.testing.assert_array_equal(read.predict_proba(rows), best.predict_proba(rows))


# --- rows ---


@pytest.mark.parametrize("rotation", ["hadamard", "pca", None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_give_rows_back(rng, rotation, dtype):
    X = (rng.normal(size=(200, 20)) + 50).astype(dtype)
    quantizer = PyramidQuantizer(3, rotation=rotation, random_state=0).fit(X)
    codes = quantizer.transform(X)
    assert codes.dtype == np.uint8 and codes.shape == (200, quantizer.n_code_bytes_)
    assert 0 <= 8 * quantizer.n_code_bytes_ - quantizer.bits_per_row_ < 8
    decoded = quantizer.inverse_transform(codes)
    assert decoded.dtype == dtype
    assert share_lost(X, decoded) == pytest.approx(quantizer.relative_error_, rel=1e-4)
    assert quantizer.relative_error_ < 0.05
    np.testing.assert_array_equal(quantizer.transform(X[::-1]), codes[::-1])


def test_codes_alone_give_rows_back_in_another_process(rng, tmp_path):
    X = rng.normal(size=(50, 24))
    fitted = [
        PyramidQuantizer(rotation=rotation, random_state=0).fit(X)
        for rotation in ("hadamard", "pca")
    ]
    codes = [quantizer.transform(X) for quantizer in fitted]
    (tmp_path / "sent").write_bytes(pickle.dumps(list(zip(fitted, codes, strict=True))))
    program = (
        "import pickle, numpy as np\n"
        "sent = pickle.load(open('sent', 'rb'))\n"
        "np.save('rows.npy', [q.inverse_transform(codes) for q, codes in sent])"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    expected = [q.inverse_transform(c) for q, c in zip(fitted, codes, strict=True)]
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), expected)


def test_coding_decoded_rows_again_changes_no_direction(rng):
    X = rng.normal(size=(100, 12))
    quantizer = PyramidQuantizer(2, rotation=None).fit(X)
    codes = quantizer.transform(X)
    again = quantizer.transform(quantizer.inverse_transform(codes))
    one, two = (
        unpack_codes(part.ravel(), 100, [16, 8 * part.shape[1] - 16])
        for part in (codes, again)
    )
    np.testing.assert_array_equal(one[:, 1], two[:, 1])
    assert np.abs(one[:, 0].astype(int) - two[:, 0].astype(int)).max() <= 1


def test_axes_serve_columns_that_go_together(rng):
    X = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 32))
    X += 0.01 * rng.normal(size=X.shape)
    axes = PyramidQuantizer(1, rotation="pca").fit(X)
    rotated = PyramidQuantizer(1, random_state=0).fit(X)
    assert axes.relative_error_ < 0.1 * rotated.relative_error_
    np.testing.assert_allclose(axes.components_ @ axes.components_.T, np.eye(32),
                               atol=1e-12)  # fmt: skip
    assert (np.ptp(axes.components_, axis=1) > 0).all()
    row = axes.components_[0]
    assert row[np.abs(row).argmax()] > 0
    assert not hasattr(axes, "scale_") and not hasattr(rotated, "components_")
    axes.set_params(rotation=None).fit(X)
    assert not hasattr(axes, "components_") and axes.relative_error_ > 0.1
    axes.set_params(rotation="pca")  # a parameter set after the fit changes nothing
    assert axes.transform(X).shape == (500, axes.n_code_bytes_)


@pytest.mark.parametrize("rotation", ["hadamard", "pca", None])
@pytest.mark.parametrize("unit", [1e-200, 1e150])
def test_units_of_rows_do_not_matter(rng, rotation, unit):
    X = rng.normal(size=(60, 9)) * np.arange(1, 10)
    one = PyramidQuantizer(2, rotation=rotation, random_state=0).fit(X)
    other = PyramidQuantizer(2, rotation=rotation, random_state=0).fit(X * unit)
    assert other.relative_error_ == pytest.approx(one.relative_error_, rel=1e-3)


@pytest.mark.parametrize("rotation", ["hadamard", "pca"])
def test_constant_rows_decode_to_the_mean(rotation):
    X = np.full((7, 5), 3.5)
    quantizer = PyramidQuantizer(rotation=rotation).fit(X)
    assert getattr(quantizer, "scale_", 1.0) == 1.0
    assert quantizer.relative_error_ == 0
    decoded = quantizer.inverse_transform(quantizer.transform(X))
    np.testing.assert_array_equal(decoded, X)


def test_long_inputs_go_in_batches(rng, monkeypatch):
    from minimalml.compression._pyramid import _pyramid_quantizer

    X = rng.normal(size=(50, 8))
    whole = PyramidQuantizer(random_state=0).fit(X)
    monkeypatch.setattr(_pyramid_quantizer, "BATCH_NUMBERS", 100)
    parts = PyramidQuantizer(random_state=0).fit(X)
    np.testing.assert_array_equal(parts.transform(X), whole.transform(X))
    assert parts.relative_error_ == pytest.approx(whole.relative_error_)
    X[40] *= 1e7
    with pytest.raises(
        ValueError, match="row 40 whose distance from mean_ is more than"
    ):
        parts.transform(X)


def test_a_search_in_a_pipeline_and_frames():
    X, y = load_digits(return_X_y=True, as_frame=True)
    quantizer = PyramidQuantizer(rotation="pca").fit(X)
    names = quantizer.get_feature_names_out()
    assert names[0] == "pyramidquantizer0" and len(names) == quantizer.n_code_bytes_
    with config_context(transform_output="pandas"):
        codes = quantizer.transform(X)
    assert list(codes.columns) == list(names) and set(codes.dtypes) == {np.dtype("u1")}
    assert quantizer.inverse_transform(codes).shape == X.shape
    model = make_pipeline(MinMaxScaler(), PyramidQuantizer(rotation="pca"))
    grid = {"pyramidquantizer__bits": [0.5, 1, 2]}

    def score(model, X, y=None):
        return -share_lost(X.to_numpy(), model.inverse_transform(model.transform(X)))

    search = GridSearchCV(model, grid, cv=2, scoring=score).fit(X[:400], y[:400])
    assert search.best_params_ == {"pyramidquantizer__bits": 2}
    assert search.best_score_ > -0.1


# --- bad input ---


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"bits": 0}, "'bits' parameter"),
        ({"bits": np.inf}, "'bits' parameter"),
        ({"group_size": 0}, "'group_size' parameter"),
        ({"gain_bits": 7}, "'gain_bits' parameter"),
        ({"gain_bits": -1}, "'gain_bits' parameter"),
        ({"bits": 0.1}, "bits=0.1 gives no group the bits of one pulse"),
        ({"bits": 8.0, "group_size": 16}, "group_size must be at most 8"),
        ({"bits": 5.0, "group_size": 30, "gain_bits": 0}, "must be at most 12"),
    ],
)
def test_bits_that_do_not_fit_are_refused(rng, parameters, message):
    X = rng.normal(size=(6, 40))
    with pytest.raises(ValueError, match=message):
        PyramidCodec(**parameters).encode(X)
    with pytest.raises(ValueError, match=message):
        PyramidQuantizer(**parameters).fit(X)


def test_other_bad_input_is_refused(rng):
    X = rng.normal(size=(6, 16))
    with pytest.raises(ValueError, match="'rotation' parameter"):
        PyramidQuantizer(rotation="random").fit(X)
    with pytest.raises(ValueError, match="1 sample"):
        PyramidQuantizer(rotation="pca").fit(X[:1])
    with pytest.raises(TypeError, match="Sparse data was passed"):
        PyramidQuantizer().fit(csr_array(X))
    with pytest.raises(ValueError, match="gives no group the bits"):
        PyramidQuantizer(0.1, rotation="pca").fit(X)
    quantizer = PyramidQuantizer(random_state=0).fit(X)
    codes = quantizer.transform(X)
    for wrong in (codes[:, 1:], codes.astype(int), codes.astype(float)):
        with pytest.raises(ValueError, match="codes must be uint8 of shape"):
            quantizer.inverse_transform(wrong)
    with pytest.raises(ValueError, match="a scale that is not finite"):
        quantizer.inverse_transform(np.full_like(codes, 255))
    codes[:, 2:] = 255
    with pytest.raises(ValueError, match=r"indices must be from 0 to .* in row 0"):
        quantizer.inverse_transform(codes)
    with pytest.raises(ValueError, match="NaN"):
        quantizer.transform(np.full((1, 16), np.nan))
    with pytest.raises(TypeError, match="floating-point"):
        PyramidCodec().encode(np.ones((2, 16), dtype=int))
    with pytest.raises(ValueError, match="raise damping"):
        PyramidCodec().encode(X, np.ones((16, 16)))
