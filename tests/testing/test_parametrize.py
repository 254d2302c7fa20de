import re
from functools import partial

import pytest
from sklearn.exceptions import EstimatorCheckFailedWarning, SkipTestWarning
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from minimalml.testing import (
    check_label_renaming,
    check_properties,
    check_row_permutation,
    parametrize_with_properties,
)
from tests.testing import broken

pytest_plugins = ["pytester"]

UNIVERSAL = [
    "check_input_not_modified",
    "check_layout_invariance",
    "check_fit_is_repeatable",
    "check_pickle_round_trip",
    "check_thread_count_invariance",
    "check_pipeline_grid_search",
]
BREAKS_ROWS = {"check_row_permutation": "later rows weigh more by design"}


def parameters(*arguments, **options):
    return parametrize_with_properties(*arguments, **options).args[1]


def test_ids_name_the_estimator_with_its_settings_and_the_check():
    ids = [parameter.id for parameter in parameters([Ridge(alpha=2.0)])]
    assert ids == [f"Ridge(alpha=2.0)-{name}" for name in UNIVERSAL]


def test_only_properties_with_a_meaning_are_yielded():
    ids = {p.id for p in parameters([GaussianNB(), StandardScaler()], properties="all")}
    assert "GaussianNB()-check_label_renaming" in ids
    assert "GaussianNB()-check_target_affine_equivariance" not in ids
    assert "StandardScaler()-check_sample_weight_is_repetition" in ids
    assert "StandardScaler()-check_label_renaming" not in ids
    assert len(ids) == 2 * len(UNIVERSAL) + 5 + 4


def test_a_list_takes_names_checks_and_checks_with_options():
    reversed_names = partial(check_label_renaming, keep_order=False)
    chosen = ["check_pickle_round_trip", check_row_permutation, reversed_names]
    ids = [p.id for p in parameters([GaussianNB()], properties=chosen)]
    assert ids == [
        "GaussianNB()-check_pickle_round_trip",
        "GaussianNB()-check_row_permutation",
        "GaussianNB()-check_label_renaming(keep_order=False)",
    ]


def test_a_check_of_the_user_needs_nothing_special():
    def check_has_parameters(estimator):
        assert estimator.get_params()

    [parameter] = parameters([Ridge()], properties=[check_has_parameters])
    assert parameter.id == "Ridge()-check_has_parameters"


def run_suite(pytester, reasons, options=""):
    pytester.makepyfile(
        f"""
        from tests.testing.broken import LatestRowsMatterMore
        from minimalml.testing import parametrize_with_properties

        @parametrize_with_properties(
            [LatestRowsMatterMore()],
            properties=["check_row_permutation", "check_fit_is_repeatable"],
            expected_failed_properties=lambda estimator: {reasons!r},
            {options}
        )
        def test_properties(estimator, check):
            check(estimator)
        """
    )
    return pytester.runpytest_inprocess("-p", "no:cacheprovider")


def test_expected_failures_are_marked_with_their_reason(pytester):
    run_suite(pytester, BREAKS_ROWS).assert_outcomes(passed=1, xfailed=1)


def test_a_stale_expected_failure_fails_the_suite(pytester):
    stale = BREAKS_ROWS | {"check_fit_is_repeatable": "no longer"}
    run_suite(pytester, stale).assert_outcomes(failed=1, xfailed=1)


def test_a_stale_expected_failure_may_be_tolerated(pytester):
    stale = BREAKS_ROWS | {"check_fit_is_repeatable": "no longer"}
    result = run_suite(pytester, stale, "xfail_strict=None,")
    result.assert_outcomes(xpassed=1, xfailed=1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"properties": "most"}, ValueError, "properties must be one of .* 'most'"),
        ({"properties": ["check_x"]}, ValueError, "must be among .* got 'check_x'"),
        (
            {"expected_failed_properties": lambda _: {"check_x": "?"}},
            ValueError,
            "expected_failed_properties must be among .* got 'check_x'",
        ),
        (
            {"expected_failed_properties": BREAKS_ROWS},
            TypeError,
            "must be a callable from an estimator to a dictionary, got dict",
        ),
    ],
)
def test_bad_choices_are_named(options, error, message):
    with pytest.raises(error, match=message):
        parametrize_with_properties([Ridge()], **options)


def test_a_class_is_refused():
    with pytest.raises(TypeError, match=re.escape("pass Ridge().")):
        parametrize_with_properties([Ridge])


def test_check_properties_returns_one_result_a_property():
    results = check_properties(StandardScaler())
    assert [result["check_name"] for result in results] == UNIVERSAL
    assert all(result["status"] == "passed" for result in results)
    assert all(result["exception"] is None for result in results)


def test_check_properties_raises_the_first_failure():
    with pytest.raises(AssertionError, match="when the rows of X were permuted"):
        check_properties(broken.LatestRowsMatterMore(), properties="symmetries")


def test_check_properties_reports_each_status():
    chosen = ["check_row_permutation", "check_label_renaming"]
    estimator = broken.LatestRowsMatterMore()
    seen = []
    with pytest.warns(SkipTestWarning, match="is not a classifier"):
        [rows, labels] = check_properties(
            estimator,
            properties=chosen,
            on_fail=None,
            callback=lambda **result: seen.append(result["status"]),
        )
    assert (rows["status"], labels["status"]) == ("failed", "skipped")
    assert seen == ["failed", "skipped"]
    assert "rows of X were permuted" in str(rows["exception"])
    with pytest.warns(EstimatorCheckFailedWarning, match="rows of X were permuted"):
        check_properties(estimator, properties=chosen[:1], on_fail="warn")
    [rows] = check_properties(
        estimator, properties=chosen[:1], expected_failed_properties=BREAKS_ROWS
    )
    assert rows["status"] == "xfail" and rows["expected_to_fail"]
    assert rows["expected_to_fail_reason"] == BREAKS_ROWS["check_row_permutation"]


def test_check_properties_refuses_unknown_options():
    with pytest.raises(ValueError, match=r"on_fail must be one of .* 'ignore'"):
        check_properties(Ridge(), on_fail="ignore")
