"""Run the checks on many estimators: a pytest decorator and a plain function."""

import functools
import re
import warnings
from unittest import SkipTest

from sklearn import config_context
from sklearn.exceptions import EstimatorCheckFailedWarning, SkipTestWarning

from minimalml._core.optional import import_optional
from minimalml.testing._applicability import require_instance
from minimalml.testing._comparison import ESTIMATOR_ERRORS
from minimalml.testing._symmetry_checks import SYMMETRIES
from minimalml.testing._universal_checks import UNIVERSAL

ALL = UNIVERSAL + SYMMETRIES
GROUPS = {"universal": UNIVERSAL, "symmetries": SYMMETRIES, "all": ALL}
CHECKS = {check.__name__: check for check in ALL}


def parametrize_with_properties(
    estimators,
    *,
    properties="universal",
    expected_failed_properties=None,
    xfail_strict=True,
):
    """Parametrize a pytest test with the properties of many estimators.

    As :func:`sklearn.utils.estimator_checks.parametrize_with_checks`: the test takes
    ``estimator`` and ``check`` and calls ``check(estimator)``. A property without a
    meaning for an estimator, such as weights where ``fit`` takes none, gives no test.

    Parameters
    ----------
    estimators : iterable of estimators
        Instances to check.

    properties : {"universal", "symmetries", "all"} or list, default="universal"
        Which properties: "universal" holds for every estimator; "symmetries" only for
        some, so choose those that are true of yours. A list holds names of checks, or
        checks, also with options: ``functools.partial(check_row_permutation,
        rtol=1e-3)``, which is called ``check_row_permutation(rtol=0.001)``.

    expected_failed_properties : callable, default=None
        Takes an estimator, returns for each check that may fail its name and reason.

    xfail_strict : bool, default=True
        Whether an expected failure that passes fails the suite, so that the list
        cannot rot. None leaves it to pytest's configuration.

    Returns
    -------
    pytest.MarkDecorator
        Decorator of the test function.

    Raises
    ------
    TypeError
        If an estimator is a class, or ``expected_failed_properties`` not a callable.
    ValueError
        If a property is unknown.
    ImportError
        If pytest is not installed.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from minimalml.testing import parametrize_with_properties
    >>> @parametrize_with_properties([Ridge(), GaussianNB()], properties="all")
    ... def test_properties(estimator, check):
    ...     check(estimator)
    """
    pytest = import_optional("pytest", who="parametrize_with_properties", extra="test")
    if not (expected_failed_properties is None or callable(expected_failed_properties)):
        raise TypeError(
            "expected_failed_properties must be a callable from an estimator to a "
            f"dictionary, got {type(expected_failed_properties).__name__}."
        )
    strict = {} if xfail_strict is None else {"strict": xfail_strict}
    checks = _resolve(properties)
    parameters = []
    for estimator in estimators:
        require_instance(estimator)
        reasons = {}
        if expected_failed_properties is not None:
            reasons = expected_failed_properties(estimator)
        _check_names("expected_failed_properties", reasons, CHECKS | checks)
        for name, check in checks.items():
            if _skip_reason(check, estimator) is None:
                marks = []
                if name in reasons:
                    marks.append(pytest.mark.xfail(reason=reasons[name], **strict))
                test_id = f"{_describe(estimator)}-{name}"
                case = pytest.param(estimator, check, marks=marks, id=test_id)
                parameters.append(case)
    return pytest.mark.parametrize(("estimator", "check"), parameters)


def check_properties(
    estimator,
    *,
    properties="universal",
    expected_failed_properties=None,
    on_skip="warn",
    on_fail="raise",
    callback=None,
):
    """Check the properties of one estimator and return a result for each.

    As :func:`sklearn.utils.estimator_checks.check_estimator`; needs no pytest.

    Parameters
    ----------
    estimator : estimator
        Instance to check.

    properties : {"universal", "symmetries", "all"} or list, default="universal"
        As in :func:`parametrize_with_properties`.

    expected_failed_properties : dict, default=None
        From check name to the reason why it may fail.

    on_skip : {"warn", None}, default="warn"
        What to do where a property has no meaning for the estimator.

    on_fail : {"raise", "warn", None}, default="raise"
        What to do at a failure that is not expected.

    callback : callable, default=None
        Called with the items of each result as keywords, as soon as it is known.

    Returns
    -------
    list of dict
        One for each property, with the keys of ``check_estimator``; "status" is
        "passed", "failed", "xfail" or "skipped".

    Raises
    ------
    AssertionError
        If a property fails and ``on_fail="raise"``.
    ValueError
        If a property or an option is unknown.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from minimalml.testing import check_properties
    >>> results = check_properties(StandardScaler())
    >>> {result["status"] for result in results}
    {'passed'}
    """
    require_instance(estimator)
    _check_option("on_skip", on_skip, ("warn", None))
    _check_option("on_fail", on_fail, ("raise", "warn", None))
    checks = _resolve(properties)
    reasons = expected_failed_properties or {}
    _check_names("expected_failed_properties", reasons, CHECKS | checks)
    results = []
    for name, check in checks.items():
        status, exception = _run(check, estimator, name in reasons)
        result = {
            "estimator": estimator,
            "check_name": name,
            "exception": exception,
            "status": status,
            "expected_to_fail": name in reasons,
            "expected_to_fail_reason": reasons.get(name, ""),
        }
        results.append(result)
        if callback is not None:
            callback(**result)
        _report(result, on_skip, on_fail)
    return results


def _run(check, estimator, may_fail):
    try:
        check(estimator)
    except SkipTest as skip:
        return "skipped", skip
    except (AssertionError, *ESTIMATOR_ERRORS) as error:
        return "xfail" if may_fail else "failed", error
    return "passed", None


def _report(result, on_skip, on_fail):
    if result["status"] == "skipped" and on_skip == "warn":
        warnings.warn(str(result["exception"]), SkipTestWarning, stacklevel=3)
    elif result["status"] == "failed" and on_fail == "raise":
        raise result["exception"]
    elif result["status"] == "failed" and on_fail == "warn":
        warnings.warn(EstimatorCheckFailedWarning(**result), stacklevel=3)


def _resolve(properties):
    """Turn the user's choice into a dictionary from name to check."""
    if isinstance(properties, str):
        if properties not in GROUPS:
            raise ValueError(
                f"properties must be one of {sorted(GROUPS)} or a list of checks, got "
                f"{properties!r}."
            )
        properties = GROUPS[properties]
    names = [p for p in properties if isinstance(p, str)]
    _check_names("properties", names, CHECKS)
    checks = [CHECKS[p] if isinstance(p, str) else p for p in properties]
    return {_name(check): check for check in checks}


def _check_names(parameter, names, known):
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(
            f"{parameter} must be among {sorted(known)}, got {unknown[0]!r}."
        )


def _check_option(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {list(allowed)}, got {value!r}.")


def _skip_reason(check, estimator):
    while isinstance(check, functools.partial):
        check = check.func
    skip_reason = getattr(check, "skip_reason", None)  # a user's check has none
    return None if skip_reason is None else skip_reason(estimator)


def _name(check):
    """Return ``check_x``, or ``check_x(option=value)`` for a partial."""
    if not isinstance(check, functools.partial):
        return check.__name__
    options = ",".join(f"{key}={value!r}" for key, value in check.keywords.items())
    return f"{check.func.__name__}({options})"


def _describe(estimator):
    """Write ``estimator`` with its changed parameters on one line, as a test id."""
    with config_context(print_changed_only=True):
        return re.sub(r"\s", "", str(estimator))
