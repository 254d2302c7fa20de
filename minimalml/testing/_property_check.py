"""From the idea of a check, a change and what it must leave alone, to a public check."""

import copy
import functools
import inspect
import math
import time
from inspect import Parameter
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from minimalml._core.optional import import_optional
from minimalml.testing._applicability import applies_to
from minimalml.testing._comparison import (
    ESTIMATOR_ERRORS,
    Fitted,
    assert_unchanged,
    fitted_clone,
    outputs_of,
)
from minimalml.testing._data_sets import default_data, describe, strategy_for

# A failure of a slow estimator is to come in time rather than on the fewest rows.
SHRINKING_SECONDS = 20


def property_check(*conditions, examples, shape=None, n_threads=None):
    """Make a public check of ``body(estimator, X, y, reference, **options)``.

    It yields what is to be equal, as (change, outputs before, outputs after); a body that
    is no generator raises the AssertionError itself. ``reference`` is a fit to a copy of
    the data, on ``n_threads``; ``shape`` is that of the fixed data set.
    """

    def decorate(body):
        signature = _public_signature(body, examples)

        @functools.wraps(body)
        def check(*arguments, **keywords):
            given = signature.bind(*arguments, **keywords)
            given.apply_defaults()
            estimator, X, y, *_ = given.args
            options = given.kwargs
            data, examples = options.pop("data"), options.pop("examples")
            tolerances = {k: options.pop(k) for k in ("rtol", "atol") if k in options}

            def holds(X, y, reference):
                compared = body(estimator, X, y, reference, **options)
                for change, before, after in compared or ():
                    assert_unchanged(
                        estimator, before, after, change, X=X, **tolerances
                    )

            fit = functools.partial(_reference, estimator, n_threads=n_threads)
            if X is not None:
                holds(X, y, fit(X, y))
                return
            _refuse_too_few(examples, data)
            if data is None:
                X, y = default_data(estimator, **(shape or {}))
                holds(X, y, fit(X, y))
            if examples != 0:
                drawn = strategy_for(estimator) if data is None else data
                _run_on_generated_data(holds, fit, estimator, drawn, examples)

        check.__signature__ = signature
        return applies_to(*conditions)(check)

    return decorate


def _public_signature(body, examples):
    """Signature of ``body`` with X and y optional, tolerances and data added."""
    estimator, X, y, _, *own = inspect.signature(body).parameters.values()
    shared = {"data": None, "examples": examples}
    if inspect.isgeneratorfunction(body):
        shared = {"rtol": None, "atol": 1e-7} | shared
    keywords = [
        Parameter(k, Parameter.KEYWORD_ONLY, default=v) for k, v in shared.items()
    ]
    X, y = (parameter.replace(default=None) for parameter in (X, y))
    return inspect.Signature([estimator, X, y, *own, *keywords])


def _refuse_too_few(examples, data):
    fewest, where = (0, "") if data is None else (1, " where data is given")
    if isinstance(examples, int) and examples < fewest:
        raise ValueError(f"examples must be at least {fewest}{where}, got {examples}.")


def _reference(estimator, X, y, *, n_threads):
    # On copies: an estimator that writes into its input must not spoil the check.
    X, y = copy.deepcopy(X), copy.deepcopy(y)
    with threadpool_limits(limits=n_threads):
        model = fitted_clone(estimator, X, y)
        return Fitted(model, outputs_of(model, X, y))


def _run_on_generated_data(holds, fit, estimator, data, examples):
    hypothesis = import_optional(
        "hypothesis", who="Generated data (examples > 0)", extra="test"
    )
    refusals, accepted, failures = [], [], []
    patience = SHRINKING_SECONDS if isinstance(examples, int) else math.inf

    @_settings(hypothesis, examples)
    @hypothesis.given(data)
    def holds_on(drawn):
        if failures and time.monotonic() > failures[0].time + patience:
            raise _SmallEnough
        try:
            reference = fit(*drawn)
        except ESTIMATOR_ERRORS as error:
            refusals.append(error)
            return
        accepted.append(True)
        try:
            holds(*drawn, reference)
        except AssertionError as error:
            message = f"{error}\n{describe(*drawn)}"
            failures.append(_Failure(time.monotonic(), np.size(drawn[0]), message))
            raise AssertionError(message) from None

    try:
        holds_on()
    except _SmallEnough:
        smallest = min(reversed(failures), key=lambda failure: failure.size)
        raise AssertionError(smallest.message) from None
    if not accepted:
        raise AssertionError(
            f"{type(estimator).__name__} refused each generated data set, the last "
            f"with: {refusals[-1]} Pass a strategy of data that it accepts as data=."
        ) from refusals[-1]


class _Failure(NamedTuple):
    """When a property failed, on how many numbers, and the message."""

    time: float
    size: int
    message: str


class _SmallEnough(BaseException):  # not an Exception: hypothesis lets it through
    """The time for a smaller counterexample is over."""


def _settings(hypothesis, examples):
    if isinstance(examples, hypothesis.settings):
        return examples
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        verbosity=hypothesis.Verbosity.quiet,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
