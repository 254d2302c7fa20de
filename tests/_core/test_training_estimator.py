import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.neural_network import Training
from tests._core.networks import TinyRegressor

DOUBLE = Training(dtype="float64")


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((60, 4))
    return X, X @ rng.standard_normal(4)


# --- fitted attributes ---


def test_a_fit_is_repeatable_bit_for_bit(rows):
    first, second = (TinyRegressor().fit(*rows).predict(rows[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_curves_tell_what_happened(rows):
    model = TinyRegressor(early_stopping=True, max_epochs=7).fit(*rows)
    assert len(model.loss_curve_) == len(model.validation_scores_) == model.n_iter_ == 7
    assert model.best_epoch_ == 1 + np.argmax(model.validation_scores_)
    assert TinyRegressor().fit(*rows).validation_scores_ is None


def test_a_spare_row_is_not_enough_to_validate(rows):
    X, y = rows
    with pytest.raises(ValueError, match=r"0\.1 leaves 1 of 8 rows.*raise it or give"):
        TinyRegressor(early_stopping=True).fit(X[:8], y[:8])


def test_verbose_prints_a_line_an_epoch(rows, capsys):
    TinyRegressor(early_stopping=True, max_epochs=3, verbose=1).fit(*rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert "validation score" in lines[0]


def test_predictions_have_the_type_of_the_input(rows):
    model = TinyRegressor().fit(*rows)
    for dtype in (np.float32, np.float64):
        assert model.predict(rows[0].astype(dtype)).dtype == dtype


@pytest.mark.parametrize("flip", [np.s_[::-1], np.s_[:, ::-1]])
def test_views_with_negative_strides_are_rows_as_others(rows, flip):
    X, y, weight = rows[0][flip], rows[1][::-1], np.arange(1.0, 61.0)[::-1]
    view, copy = (
        TinyRegressor(early_stopping=True).fit(*data).predict(data[0])
        for data in ((X, y, weight), (X.copy(), y.copy(), weight.copy()))
    )
    np.testing.assert_array_equal(view, copy)


def test_training_mode_is_put_back(rows):
    model = TinyRegressor().fit(*rows)
    assert not model.module_.training
    model.module_.blocks.train()
    model.predict(rows[0])
    assert model.module_.blocks.training and not model.module_.head.training


def test_amp_trains_in_bfloat16(rows, monkeypatch):
    seen, loss = set(), TinyRegressor._training_loss

    def watch(self, batch, state):
        seen.add(state.network(batch.X).dtype)
        return loss(self, batch, state)

    monkeypatch.setattr(TinyRegressor, "_training_loss", watch)
    TinyRegressor(training=Training(amp=True), max_epochs=1).fit(*rows)
    assert seen == {torch.bfloat16}


# --- going on ---


def test_two_warm_fits_equal_one_of_both_lengths(rows):
    model = TinyRegressor(warm_start=True, max_epochs=3).fit(*rows).fit(*rows)
    whole = TinyRegressor(max_epochs=6).fit(*rows)
    np.testing.assert_array_equal(model.predict(rows[0]), whole.predict(rows[0]))
    assert model.n_iter_ == 6 and model.loss_curve_ == whole.loss_curve_


def test_warm_starts_of_averaged_weights_go_on_from_the_plain_ones(rows):
    options = {"training": Training(weight_average=0.9)}
    model = TinyRegressor(warm_start=True, max_epochs=3, **options)
    model.fit(*rows).fit(*rows)
    whole = TinyRegressor(max_epochs=6, **options).fit(*rows)
    np.testing.assert_array_equal(model.predict(rows[0]), whole.predict(rows[0]))


def test_partial_fit_is_one_epoch(rows):
    model = TinyRegressor()
    for _ in range(4):
        model.partial_fit(*rows)
    whole = TinyRegressor(max_epochs=4).fit(*rows)
    np.testing.assert_array_equal(model.predict(rows[0]), whole.predict(rows[0]))


def test_without_warm_start_fit_begins_anew(rows):
    model = TinyRegressor().partial_fit(*rows).fit(*rows)
    whole = TinyRegressor().fit(*rows)
    np.testing.assert_array_equal(model.predict(rows[0]), whole.predict(rows[0]))


def test_a_new_rate_holds_in_a_warm_start(rows):
    model = TinyRegressor(warm_start=True).fit(*rows)
    before = model.predict(rows[0])
    model.set_params(learning_rate=1e-12).fit(*rows)
    np.testing.assert_allclose(model.predict(rows[0]), before, atol=1e-6)


def test_a_new_optimiser_holds_in_a_warm_start(rows):
    model = TinyRegressor(warm_start=True).fit(*rows)
    model.set_params(training=Training(optimizer="sgd")).fit(*rows)
    assert isinstance(model._training_state.optimizers[0], torch.optim.SGD)


def test_other_columns_are_refused_by_a_warm_start(rows):
    X, y = rows
    model = TinyRegressor(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="expecting 4 features"):
        model.fit(X[:, :2], y)


def test_partial_fit_has_no_validation_rows(rows):
    with pytest.raises(ValueError, match="partial_fit sees no validation rows"):
        TinyRegressor(early_stopping=True).partial_fit(*rows)


def test_other_settings_hold_in_a_warm_start(rows):
    averaged = Training(weight_average=0.9)
    model = TinyRegressor(warm_start=True, training=averaged).fit(*rows)
    for training in (
        Training(weight_average=0.9, dtype="float64"),
        Training(),
        averaged,
    ):
        model.set_params(training=training).fit(*rows)
    assert model.n_iter_ == 20 and np.isfinite(model.loss_curve_).all()


# --- checkpoints ---


class Interrupt(Exception):
    pass


class InterruptAfter:
    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context):
        pass

    teardown = setup

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == self.epoch:
            raise Interrupt

    on_fit_task_end = setup


RUNS = {
    "plain": ({}, {}),
    "everything": (
        {"schedule": "cosine", "weight_average": "ema", "gradient_clip": 1.0},
        {"early_stopping": True},
    ),
}


@pytest.mark.parametrize("settings, options", RUNS.values(), ids=RUNS)
def test_an_interrupted_fit_goes_on_to_the_same_bits(rows, tmp_path, settings, options):
    whole = TinyRegressor(training=Training(**settings), **options).fit(*rows)
    training = Training(checkpoint=tmp_path / "run.pt", **settings)
    model = TinyRegressor(training=training, **options)
    with pytest.raises(Interrupt):
        clone(model).set_callbacks(InterruptAfter(3)).fit(*rows)
    model.fit(*rows)
    np.testing.assert_array_equal(model.predict(rows[0]), whole.predict(rows[0]))
    assert model.loss_curve_ == whole.loss_curve_
    assert model.validation_scores_ == whole.validation_scores_


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"learning_rate": 0.5}, "learning_rate was 0.01 and is 0.5"),
        ({"hidden_layer_sizes": (9,)}, r"hidden_layer_sizes was \(8,\) and is \(9,\)"),
        (
            {"training__schedule": "cosine"},
            "training.schedule was 'constant' and is 'c",
        ),
        ({"random_state": 1}, "random_state was 0 and is 1"),
        ({"module": torch.nn.Linear(4, 1)}, r"network was MLP\(.*and is Linear\("),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(rows, tmp_path, changes, message):
    path = tmp_path / "run.pt"
    model = TinyRegressor(training=Training(checkpoint=path)).fit(*rows)
    with pytest.raises(ValueError, match=f"checkpoint .*is of another run: {message}"):
        clone(model).set_params(**changes).fit(*rows)
    with pytest.raises(ValueError, match="another run: rows was"):
        clone(model).fit(rows[0][::-1], rows[1])


def test_a_longer_run_goes_on_from_a_shorter_one(rows, tmp_path):
    model = TinyRegressor(training=Training(checkpoint=tmp_path / "run.pt")).fit(*rows)
    longer = clone(model).set_params(max_epochs=8).fit(*rows)
    whole = TinyRegressor(max_epochs=8).fit(*rows)
    np.testing.assert_array_equal(longer.predict(rows[0]), whole.predict(rows[0]))


@pytest.mark.parametrize("who", ["warm_start=True", "partial_fit"])
def test_one_thing_at_a_time_to_go_on_from(rows, who):
    model = TinyRegressor(training=Training(checkpoint="run.pt"))
    with pytest.raises(
        ValueError, match=f"{who} goes on .*training.checkpoint='run.pt'"
    ):
        if who == "partial_fit":
            model.partial_fit(*rows)
        else:
            model.set_params(warm_start=True).fit(*rows)


# --- pickling ---


@pytest.mark.parametrize("training", [None, Training(weight_average="swa"), DOUBLE])
def test_a_pickled_model_predicts_the_same(rows, training):
    model = TinyRegressor(training=training).fit(*rows)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(rows[0]), model.predict(rows[0]))
    assert not hasattr(loaded, "_training_state")


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
def test_a_pickled_model_goes_on_as_the_original(rows, optimizer):
    batch_size = "auto" if optimizer == "lbfgs" else 16
    model = TinyRegressor(
        batch_size=batch_size, warm_start=True,
        training=Training(optimizer=optimizer, weight_average=0.5),
    ).fit(*rows)  # fmt: skip
    loaded = pickle.loads(pickle.dumps(model)).fit(*rows)
    model.fit(*rows)
    np.testing.assert_array_equal(loaded.predict(rows[0]), model.predict(rows[0]))


def test_joblib_loads_a_memory_mapped_model(rows, tmp_path):
    model = TinyRegressor().fit(*rows)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(loaded.predict(rows[0]), model.predict(rows[0]))


def test_a_pickle_holds_a_copy_on_the_cpu_that_goes_where_device_says(rows):
    model = TinyRegressor().fit(*rows)
    module = model.__getstate__()["module_"]
    assert module is not model.module_
    assert {p.device.type for p in module.parameters()} == {"cpu"}
    pickled = pickle.dumps(model.set_params(device="meta"))
    loaded = pickle.loads(pickled)
    assert {p.device.type for p in loaded.module_.parameters()} == {"meta"}


def test_copies_are_shallow_or_deep_as_asked(rows):
    model = TinyRegressor().fit(*rows)
    assert copy.copy(model).module_ is model.module_
    deep = copy.deepcopy(model)
    assert deep.module_ is not model.module_
    np.testing.assert_array_equal(deep.predict(rows[0]), model.predict(rows[0]))
    assert not hasattr(clone(model), "module_")


# --- callbacks ---


class StopAfter:
    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch" and context.task_id + 1 == self.epoch


def test_a_callback_stops_the_run(rows):
    model = TinyRegressor().set_callbacks(StopAfter(2)).fit(*rows)
    assert model.n_iter_ == 2


@pytest.mark.parametrize("weight_average", [None, "ema"])
def test_a_monitor_sees_the_model_of_each_epoch(rows, weight_average):
    monitor = ScoringMonitor(scoring="r2")
    model = TinyRegressor(
        max_epochs=4, training=Training(weight_average=weight_average)
    )
    model.set_callbacks(monitor).fit(*rows)
    scores = [
        row["r2"] for row in monitor.get_logs().data if row["task_name"] == "epoch"
    ]
    expected = [
        model.set_callbacks().set_params(max_epochs=n).fit(*rows).score(*rows)
        for n in (1, 2, 3, 4)
    ]
    assert scores == expected


def test_bars_nest_in_a_search_over_a_pipeline(rows, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    pipeline = make_pipeline(StandardScaler(), TinyRegressor(max_epochs=2))
    search = GridSearchCV(
        pipeline, {"tinyregressor__hidden_layer_sizes": [(2,), (4,)]}, cv=2
    )
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*rows)
    assert "TinyRegressor" in capsys.readouterr().out


# --- without torch ---


def test_importing_needs_no_torch():
    code = "import sys, tests._core.networks; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.stdout.strip() == "False", result.stderr


def test_fit_names_the_missing_package(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"TinyRegressor needs torch.*\[torch\]"):
        TinyRegressor().fit(*rows)
