"""Conventions that scikit-learn's battery leaves out, as checks of any estimator.

What a class can do is read off its tags, signatures and parameters; a check without a
meaning for an estimator gives no test.
"""

import io
import warnings
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from functools import wraps
from inspect import signature

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_regressor
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from minimalml.bags import aggregate_targets
from minimalml.bags._bag_estimator import ProportionClassifierMixin
from minimalml.testing._applicability import applies_to, deterministic
from minimalml.testing._comparison import (
    METHODS,
    assert_unchanged,
    fit_quietly,
    fitted_clone,
    learnt_from,
    outputs_of,
    said_about,
    with_fixed_random_state,
)
from minimalml.testing._data_sets import default_data
from tests.estimators import gathered

ROUNDING = {"rtol": None, "atol": 1e-7}


def convention(*conditions):
    """Run a check on the default data of an estimator that no condition refuses."""

    def decorate(check):
        @applies_to(*conditions)
        @wraps(check)
        def on_default_data(estimator, X, y):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(estimator, *default_data(estimator, n_features=6))

        return on_default_data

    return decorate


# --- metadata ---

# For each parameter of a fit beside X and y, values of so many rows; None: not by row.
ROW_VALUES = {
    "sample_weight": lambda n: np.linspace(0.5, 2.0, n),
    "groups": lambda n: np.arange(n) // 2 % 4,
    "tasks": lambda n: np.arange(n) // 2 % 2,
    "bags": lambda n: np.arange(n) // 3,
    "target_task": None,
}
# Other values, where moving them by a row would not do: bags cut in two.
OTHER_VALUES = {"bags": lambda bags: 2 * bags + (np.arange(len(bags)) % 3 == 2)}


def requests(estimator, method):
    """Names of the metadata that a method of ``estimator`` itself can request."""
    routing = get_routing_for_object(estimator)
    own = getattr(routing, "_self_request", routing)
    request = getattr(own, method, None)  # of methods that take metadata
    return request.requests if request else {}


def with_inner(estimator):
    """Return ``estimator`` and those that its parameters hold."""
    inner = estimator.get_params(deep=True).values()
    return [estimator, *(value for value in inner if isinstance(value, BaseEstimator))]


def row_makers(estimator):
    """Makers of values of a row by name, with those that ``instances.py`` adds."""
    return ROW_VALUES | gathered("ROW_VALUES").get(type(estimator).__name__, {})


def row_metadata(estimator, n_samples):
    """Values for all that ``fit`` of ``estimator`` takes a row, besides X and y."""
    makers = row_makers(estimator)
    taken = {name for model in with_inner(estimator) for name in requests(model, "fit")}
    accepted = signature(estimator.fit).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    return {
        name: makers[name](n_samples)
        for name in taken
        if makers.get(name) and (takes_any or name in accepted)
    }


def agreeing(estimator, y, metadata):
    """Return y, the same on all rows of a bag if the metadata have bags."""
    if "bags" not in metadata:
        return y
    is_share = isinstance(estimator, ProportionClassifierMixin)
    how = "mean" if is_share else "first"
    return aggregate_targets(y, metadata["bags"], how=how)


def takes_metadata(estimator):
    """Refuse estimators whose fit takes nothing a row but X and y."""
    if not row_metadata(estimator, 1):
        return "fit takes no metadata"


def requesting(estimator, metadata):
    """Clone ``estimator``, to ask for all metadata wherever it can."""
    estimator = with_fixed_random_state(estimator)
    for model in with_inner(estimator):
        for method in ("fit", "partial_fit", *METHODS, "score"):
            names = requests(model, method).keys() & metadata.keys()
            if names:
                request = getattr(model, f"set_{method}_request")
                request(**dict.fromkeys(names, True))
    return estimator


def outputs_with(model, X, metadata):
    """Ask ``model`` about X, with the metadata that each method takes."""
    return {
        method: np.asarray(
            getattr(model, method)(
                X, **{k: metadata[k] for k in requests(model, method) if k in metadata}
            )
        )
        for method in METHODS
        if hasattr(model, method)
    }


def score(model, X, y=None):
    return 0.0


@convention(deterministic, takes_metadata)
def check_metadata_routing(estimator, X, y):
    """Requested metadata arrive through every tool; those without a request raise."""
    metadata = row_metadata(estimator, len(X))
    y = agreeing(estimator, y, metadata)
    direct = with_fixed_random_state(estimator).fit(X, y, **metadata)
    with config_context(enable_metadata_routing=True):
        asked = requesting(estimator, metadata)
        pipeline = make_pipeline("passthrough", clone(asked)).fit(X, y, **metadata)
        before = outputs_with(direct, X, metadata)
        after = outputs_with(pipeline[-1], X, metadata)
        for name, values in metadata.items():
            move = OTHER_VALUES.get(name, lambda values: np.roll(values, 1))
            moved = metadata | {name: move(values)}
            other = outputs_with(clone(asked).fit(X, y, **moved), X, metadata)
            changed = [k for k in before if not np.array_equal(before[k], other[k])]
            assert changed or not before, f"fit ignores {name}"
        change = "metadata came through a pipeline"
        assert_unchanged(estimator, before, after, change, X=X, **ROUNDING)
        # Pipeline.score hands on a sample_weight, None at least
        weighs = get_routing_for_object(asked).consumes("score", ["sample_weight"])
        scoring = None if weighs else score
        tools = {"cv": 2, "scoring": scoring, "error_score": "raise"}
        search = GridSearchCV(pipeline, {}, **tools)
        search.fit(X, y, **metadata)
        cross_validate(asked, X, y, params=metadata, **tools)
        for name, values in metadata.items():
            if name == "bags":  # its learners ask for them by default
                continue
            try:
                clone(make_pipeline(estimator)).fit(X, y, **{name: values})
            except UnsetMetadataPassedError as error:
                assert name in str(error)
            else:
                raise AssertionError(f"{name} was passed on without a request.")


@convention(takes_metadata)
def check_metadata_length(estimator, X, y):
    """Metadata with too few or too many rows are refused by a ValueError."""
    for name, values in row_metadata(estimator, len(X) + 1).items():
        for wrong in (values[: len(X) - 1], values):
            try:
                with_fixed_random_state(estimator).fit(X, y, **{name: wrong})
            except ValueError:
                continue
            raise AssertionError(f"fit took {len(wrong)} {name} for {len(X)} rows.")


# --- callbacks ---


class Recorder:
    """A callback that counts, and may ask to stop after the first task of a name."""

    def __init__(self, stop_at=None):
        self.stop_at, self.calls, self.tasks = stop_at, Counter(), []
        self.latest = None  # estimator that a task's end was shown

    def setup(self, estimator, context):
        self.calls["setup"] += 1

    def teardown(self, estimator, context):
        self.calls["teardown"] += 1

    def on_fit_task_begin(self, estimator, context):
        self.calls["begin"] += 1

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.calls["end"] += 1
        self.tasks.append((context.task_name, id(context.parent), context.parent))
        self.latest = fitted_estimator or self.latest
        return context.task_name == self.stop_at

    def most_siblings(self, name):
        """Largest number of tasks called ``name`` that one parent has, in sequence."""
        parents = Counter(
            key
            for task, key, parent in self.tasks
            if task == name and parent is not None and parent.sequential_subtasks
        )
        return max(parents.values(), default=0)


def supports_callbacks(estimator):
    """Refuse estimators without callbacks."""
    if not isinstance(estimator, CallbackSupportMixin):
        return f"{type(estimator).__name__} has no callbacks"


def recorded(estimator, X, y, stop_at=None):
    """Fit a clone of ``estimator`` with a Recorder, which clone takes along."""
    recorder = Recorder(stop_at)
    model = with_fixed_random_state(estimator).set_callbacks(recorder)
    model = clone(model)
    [kept] = model._skl_callbacks
    assert type(kept) is Recorder
    model.fit(X, y)
    for method in METHODS:
        if hasattr(model, method):
            getattr(model, method)(X)
    return kept


@convention(supports_callbacks)
def check_callbacks(estimator, X, y):
    """Callbacks are set up and torn down once a run, see all tasks, and may stop."""
    recorder = recorded(estimator, X, y)
    calls = recorder.calls
    assert calls["setup"] == calls["teardown"] > 0, calls
    assert calls["begin"] == calls["end"] > 0, calls
    answers = any(hasattr(recorder.latest, method) for method in METHODS)
    if recorder.latest is not None and answers:
        assert said_about(recorder.latest, X)
    for name in {name for name, *_ in recorder.tasks}:
        if recorder.most_siblings(name) > 1:
            stopped = recorded(estimator, X, y, stop_at=name)
            assert stopped.most_siblings(name) == 1, f"{name} goes on after a stop"


# --- types of input and output ---


def with_own_outputs(estimator):
    """Refuse meta-estimators, whose outputs are those of the estimator inside."""
    if isinstance(estimator, MetaEstimatorMixin):
        return "the estimator inside decides on the type of outputs"


@convention(with_own_outputs)
def check_float32_stays(estimator, X, y):
    """Predictions, probabilities and transformed rows of float32 rows are float32."""
    X = X.astype(np.float32)
    y = y.astype(np.float32) if is_regressor(estimator) else y
    kept = {"predict_proba", "decision_function", "transform", "fit_resample(X)"}
    if is_regressor(estimator):
        kept.add("predict")
    for metadata in ({}, row_metadata(estimator, len(X))):
        y = agreeing(estimator, y, metadata)
        model = with_fixed_random_state(estimator).fit(X, y, **metadata)
        outputs = learnt_from(model, X, y) | outputs_with(model, X, metadata)
        dtypes = {name: outputs[name].dtype for name in kept & outputs.keys()}
        assert set(dtypes.values()) <= {np.dtype("float32")}, dtypes


def supervised(estimator):
    """Refuse estimators that take no y."""
    if not get_tags(estimator).target_tags.required:
        return f"{type(estimator).__name__} needs no y"


@convention(deterministic, supervised)
def check_column_target(estimator, X, y):
    """A y of one column, array or frame, gives the answers of the flat one."""
    import pandas as pd

    before = outputs_of(fitted_clone(estimator, X, y), X, y)
    for column in (y[:, None], pd.DataFrame({"y": y})):
        after = outputs_of(fitted_clone(estimator, X, column), X, column)
        after = {name: np.reshape(after[name], before[name].shape) for name in after}
        change = f"y was a {type(column).__name__} of one column"
        assert_unchanged(estimator, before, after, change, X=X, **ROUNDING)


@convention(deterministic)
def check_pandas_config(estimator, X, y):
    """``transform_output="pandas"`` changes the container of outputs, nothing else."""
    before = outputs_of(fitted_clone(estimator, X, y), X, y)
    with config_context(transform_output="pandas"):
        after = outputs_of(fitted_clone(estimator, X, y), X, y)
    change = "transform_output was 'pandas'"
    assert_unchanged(estimator, before, after, change, X=X, **ROUNDING)


# --- what is printed ---


def has_verbose(estimator):
    """Refuse estimators without the parameter ``verbose``."""
    if "verbose" not in estimator.get_params(deep=False):
        return f"{type(estimator).__name__} has no parameter verbose"


@convention(has_verbose)
def check_verbose(estimator, X, y):
    """0 prints nothing, 1 prints something."""
    for verbose in (0, 1):
        model = with_fixed_random_state(estimator).set_params(verbose=verbose)
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            outputs_of(fit_quietly(model, X, y), X, y)
        text = printed.getvalue()
        assert bool(text) == bool(verbose), f"verbose={verbose} printed {text!r}"


# --- checks of names that scikit-learn keeps for itself ---


def transformer(estimator):
    """Refuse all but transformers."""
    if not hasattr(estimator, "transform"):
        return f"{type(estimator).__name__} has no transform"


def from_scikit_learn(name, *conditions):
    """Wrap a check that scikit-learn has but leaves out of its battery."""
    original = getattr(estimator_checks, name)

    @convention(*conditions)
    def check(estimator, X, y):
        original(type(estimator).__name__, estimator)

    check.__name__ = name
    return check


CONVENTIONS = [
    check_metadata_routing,
    check_metadata_length,
    check_callbacks,
    check_float32_stays,
    check_column_target,
    check_pandas_config,
    check_verbose,
    from_scikit_learn("check_dataframe_column_names_consistency"),
    from_scikit_learn("check_transformer_get_feature_names_out", transformer),
    from_scikit_learn("check_transformer_get_feature_names_out_pandas", transformer),
    from_scikit_learn("check_set_output_transform_pandas", transformer),
]
