"""The estimator: codes by brute force, rows and back, user's networks, bad input."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from minimalml.compression import LinearCodebook, SimVectorQuantizer, codebook_usage
from minimalml.neural_network import Training

N_FEATURES = 6
DIGITS = load_digits(return_X_y=True)


def quantizer(n_codes=16, **options):
    shared = {"max_epochs": 5, "random_state": 0, "device": "cpu"}
    return SimVectorQuantizer(n_codes, 4, (16,), **(shared | options))


def rows(n=200, seed=0):
    return np.random.default_rng(seed).normal(size=(n, N_FEATURES)) * 3 + 7


@pytest.fixture(scope="module")
def fitted():
    return quantizer(training=Training(dtype="float64")).fit(rows())


# --- codes and rows ---


def test_codes_are_the_nearest_words_of_the_codebook(fitted):
    X = rows(seed=1)
    latents = fitted.encode(X)
    distances = ((latents[:, None] - fitted.codebook_) ** 2).sum(2)
    codes = fitted.predict(X)
    assert (codes == distances.argmin(1)).all() and codes.dtype == np.int64
    assert (fitted.transform(X) == codes[:, None]).all()
    standardised = torch.as_tensor((X - fitted.mean_) / fitted.scale_)
    of_module = fitted.module_.codebook(fitted.module_.encoder(standardised)).codes
    assert (of_module.numpy() == codes).all()


def test_decoded_rows_are_the_network_s_in_the_units_of_X(fitted):
    X = rows(seed=1)
    standardised = torch.as_tensor((X - fitted.mean_) / fitted.scale_)
    with torch.no_grad():
        expected = (
            fitted.module_(standardised)[0].numpy() * fitted.scale_ + fitted.mean_
        )
    for codes in (fitted.predict(X), fitted.transform(X), fitted.transform(X).tolist()):
        np.testing.assert_allclose(fitted.inverse_transform(codes), expected)
    assert fitted.score(X) == pytest.approx(-np.mean((X - expected) ** 2))


def test_usage_is_that_of_the_rows_of_fit(fitted):
    usage = codebook_usage(fitted.predict(rows()), 16)
    assert (fitted.code_counts_ == usage.counts).all() and usage.counts.sum() == 200
    assert fitted.codebook_utilization_ == usage.utilization
    assert fitted.perplexity_ == usage.perplexity


def test_one_code_decodes_to_one_row():
    model = quantizer(1).fit(rows())
    assert (model.predict(rows()) == 0).all()
    assert model.codebook_utilization_ == model.perplexity_ == 1.0
    decoded = model.inverse_transform([0, 0])
    assert (decoded[0] == decoded[1]).all()


def test_the_linear_codebook_uses_more_codes_and_errs_less():
    X = DIGITS[0]
    models = [
        SimVectorQuantizer(512, max_epochs=25, random_state=0, codebook=kind).fit(X)
        for kind in ("free", "linear")
    ]
    free, linear = models
    assert linear.codebook_utilization_ > 2 * free.codebook_utilization_
    assert linear.perplexity_ > 1.5 * free.perplexity_
    assert linear.score(X) > free.score(X) > -X.var(axis=0).mean()


def test_training_the_basis_moves_it():
    X = rows()
    kept, trained = (
        quantizer(train_basis=trains).fit(X).module_.codebook.basis
        for trains in (False, True)
    )
    assert isinstance(trained, nn.Parameter) and not isinstance(kept, nn.Parameter)


# --- invariants ---


def test_a_seed_makes_a_fit_repeatable_and_pickles_keep_it(fitted):
    X = rows(seed=1)
    again = clone(fitted).fit(rows())
    copy = pickle.loads(pickle.dumps(fitted))
    for model in (again, copy):
        assert (model.codebook_ == fitted.codebook_).all()
        assert (model.predict(X) == fitted.predict(X)).all()


@settings(max_examples=10)
@given(st.permutations(range(30)))
def test_the_order_of_rows_does_not_matter(fitted, order):
    X = rows(30, seed=1)
    assert (fitted.predict(X[order]) == fitted.predict(X)[order]).all()


@pytest.mark.parametrize("factor", [1e-280, 1e-100, 1e100, 1e280])
def test_the_unit_of_X_does_not_matter(factor):
    X = rows()
    plain, other = quantizer().fit(X), quantizer().fit(X * factor)
    assert (other.predict(X * factor) == plain.predict(X)).mean() > 0.98
    decoded = other.inverse_transform(np.arange(16))
    np.testing.assert_allclose(decoded / factor, plain.inverse_transform(np.arange(16)), rtol=1e-3)  # fmt: skip


def test_float32_rows_stay_float32():
    X = rows().astype(np.float32)
    model = quantizer().fit(X)
    assert model.encode(X).dtype == np.float32
    assert model.inverse_transform(model.predict(X)).dtype == np.float32
    assert model.predict(X.astype(np.float64)).shape == (200,)


def test_constant_rows_have_scale_one():
    model = quantizer().fit(np.full((40, 3), 0.1))
    assert model.scale_ == 1.0
    assert model.inverse_transform(model.predict([[0.1] * 3])).shape == (1, 3)


def test_views_and_frames_are_rows_too(fitted):
    X = rows()
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = clone(fitted).fit(frame)
    assert (model.predict(frame) == fitted.predict(X)).all()
    assert (fitted.predict(X[::-1]) == fitted.predict(X)[::-1]).all()
    X.setflags(write=False)
    assert clone(fitted).fit(X[:, ::-1]).predict(X[:, ::-1]).shape == (200,)
    codes = model.set_output(transform="pandas").transform(frame)
    assert codes.columns.tolist() == ["simvectorquantizer0"]
    assert (model.inverse_transform(codes) == model.inverse_transform(model.predict(frame))).all()  # fmt: skip


# --- training ---


def test_the_loss_is_the_sum_of_its_parts(capsys):
    quantizer(verbose=2, max_epochs=1, quantization_weight=0.0).fit(rows())
    line = capsys.readouterr().out.split()
    loss, part, other = (
        float(line[line.index(name) + 1])
        for name in ("loss", "reconstruction", "quantization")
    )
    assert (other, loss) == (0.0, part)


def test_early_stopping_scores_minus_the_error_of_held_out_rows():
    model = quantizer(early_stopping=True, max_epochs=30).fit(rows(300))
    scores = model.validation_scores_
    assert len(scores) == model.n_iter_ and max(scores) < 0
    assert model.best_epoch_ == 1 + np.argmax(scores)


def test_warm_start_goes_on_and_refuses_another_codebook():
    model = quantizer(warm_start=True).fit(rows())
    network, mean = model.module_, model.mean_
    model.set_params(commitment_weight=0.5).fit(rows() + 1)
    assert model.module_ is network and model.n_iter_ == 10
    assert network.codebook.commitment_weight == 0.5 and model.mean_ is mean
    for name, value in (("n_codes", 8), ("n_components", 3), ("train_basis", True)):
        other = pickle.loads(pickle.dumps(model)).set_params(**{name: value})
        with pytest.raises(ValueError, match=f"warm_start.*'{name}': {value}"):
            other.fit(rows())


def test_parameters_set_after_fit_wait_for_the_next_fit():
    model = quantizer().fit(rows())
    before = model.predict(rows())
    model.set_params(n_codes=3, n_components=2, codebook="free")
    assert (model.predict(rows()) == before).all()
    assert model.inverse_transform([15]).shape == (1, N_FEATURES)


def test_an_exploding_loss_is_refused():
    with pytest.raises(ValueError, match="not finite after the first epoch: lower"):
        quantizer(learning_rate=1e30).fit(rows())


# --- networks of one's own ---


def test_own_networks_are_copied_and_trained():
    encoder, decoder = nn.Linear(N_FEATURES, 4), nn.Linear(4, N_FEATURES)
    before = encoder.weight.detach().clone()
    model = quantizer(encoder=encoder, decoder=decoder).fit(rows())
    assert torch.equal(encoder.weight, before)
    assert not torch.equal(model.module_.encoder.weight, before)
    assert isinstance(model.module_.codebook, LinearCodebook)


def test_identities_give_codes_of_the_rows_themselves():
    X, same = rows(), nn.Identity()
    model = SimVectorQuantizer(
        8, N_FEATURES, encoder=same, decoder=same, max_epochs=3, random_state=0
    ).fit(X)
    decoded = model.inverse_transform(model.predict(X))
    distances = ((X[:, None] - model.inverse_transform(np.arange(8))) ** 2).sum(2)
    np.testing.assert_allclose(((X - decoded) ** 2).sum(1), distances.min(1), rtol=1e-5)


def test_layers_with_a_mode_are_left_in_evaluation():
    norm = nn.BatchNorm1d(4)
    encoder = nn.Sequential(nn.Linear(N_FEATURES, 4), norm)
    model = quantizer(encoder=encoder, decoder=nn.Linear(4, N_FEATURES)).fit(rows())
    assert norm.num_batches_tracked == 0 and not model.module_.encoder[1].training
    assert (model.predict(rows()[:1]) == model.predict(rows())[:1]).all()


@pytest.mark.parametrize(
    ("encoder", "decoder", "error", "words"),
    [
        (nn.Identity(), None, ValueError, "both or neither, got no decoder"),
        (None, nn.Identity(), ValueError, "both or neither, got no encoder"),
        (nn.Linear(6, 3), nn.Linear(4, 6), ValueError, r"n_components=4 .*\(2, 3\)"),
        (nn.Linear(6, 4), nn.Linear(4, 5), ValueError, r"n_features=6 .*\(2, 5\)"),
        (
            nn.Linear,
            nn.Linear,
            TypeError,
            "encoder must be a torch.nn.Module, got type",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(encoder, decoder, error, words):
    model = quantizer(encoder=encoder, decoder=decoder)
    with pytest.raises(error, match=words):
        model.fit(rows())
    assert not hasattr(model, "module_")


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_codes": 0}, "'n_codes' .* Got 0"),
        ({"n_components": 0}, "'n_components' .* Got 0"),
        ({"commitment_weight": -1}, "'commitment_weight' .* Got -1"),
        ({"quantization_weight": -0.1}, "'quantization_weight' .* Got -0.1"),
        ({"codebook": "ema"}, "'codebook' .* Got 'ema'"),
        (
            {"codebook": "free", "train_basis": True},
            "train_basis=True needs codebook='linear'",
        ),
        ({"hidden_layer_sizes": (16, 0)}, "hidden_layer_sizes .* at least 1"),
    ],
)
def test_impossible_parameters_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        quantizer().set_params(**options).fit(rows())


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([0, 16], "from 0 to 15, got 0 to 16"),
        ([-1], "from 0 to 15, got -1"),
        ([0.0], "integers, got dtype float64"),
        ([[0, 1]], r"\(n_samples, 1\) .*got \(1, 2\)"),
        (3, r"got \(\)"),
        (np.empty(0, dtype=int), "at least 1 sample"),
    ],
)
def test_codes_that_mean_no_rows_are_refused(fitted, codes, words):
    with pytest.raises(ValueError, match=words):
        fitted.inverse_transform(codes)


def test_rows_that_are_none_are_refused():
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="contains"):
            quantizer().fit(np.full((20, 2), bad))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        quantizer().fit(csr_array(rows()))
    model = quantizer().fit(rows())
    with pytest.raises(ValueError, match="too large for the network"):
        model.predict(np.full((1, N_FEATURES), 1e300))


def test_more_codes_than_rows_warn():
    with pytest.warns(
        UserWarning, match="n_codes=16 is more than the 10 rows"
    ) as found:
        model = quantizer().fit(rows(10))
    assert model.code_counts_.sum() == 10 and found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantizer().fit(rows(16))


# --- integration ---


def test_a_search_in_a_pipeline_reaches_codebook_and_training():
    pipeline = make_pipeline(StandardScaler(), quantizer(training=Training()))
    grid = {
        "simvectorquantizer__n_codes": [2, 32],
        "simvectorquantizer__training__schedule": ["constant", "cosine"],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(rows())
    assert search.best_params_["simvectorquantizer__n_codes"] == 32
    assert search.best_estimator_.inverse_transform([[3]]).shape == (1, N_FEATURES)


def test_codes_are_categories_for_a_classifier():
    X, y = DIGITS
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline(
        SimVectorQuantizer(256, 16, max_epochs=15, random_state=0),
        encoder, LogisticRegression(),
    )  # fmt: skip
    assert model.fit(X, y).score(X, y) > 0.7
