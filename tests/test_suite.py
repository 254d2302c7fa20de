"""Rules that the suite itself keeps."""

from types import SimpleNamespace

import pytest

from minimalml._methods import source_checkout
from tests.conftest import slow_folders
from tests.estimators import all_estimators, first_in_full

ROOT = source_checkout()


@pytest.mark.skipif(ROOT is None, reason="needs a source checkout")
def test_each_room_with_a_kernel_marks_tests_of_it():
    rooms = {path.parent for path in ROOT.glob("minimalml/*/_*/*.pyx")}
    unmarked = []
    for room in rooms:
        folder = ROOT / "tests" / room.parent.name / room.name.removeprefix("_")
        texts = [path.read_text("utf-8") for path in folder.glob("test_*.py")]
        if not any("pytest.mark.kernel" in text for text in texts):
            unmarked.append(folder.name)
    assert rooms and not unmarked


def test_a_folder_over_the_limit_is_named_with_its_sum():
    durations = [
        ("tests/family/stem/test_a.py::test_one", 9.0),
        ("tests/family/stem/test_b.py::test_two[x::y]", 7.0),
        ("tests/family/quick/test_c.py::test_three", 15.0),
        ("tests/_core/test_d.py::test_four", 99.0),
    ]
    reports = [SimpleNamespace(nodeid=n, duration=s) for n, s in durations]
    assert slow_folders(reports) == {"tests/family/stem": 16.0}


def test_variants_undergo_some_checks_and_first_instances_all():
    def check_fit_idempotent():
        pass

    def check_of_something_else():
        pass

    first, *_, last = [e for e in all_estimators() if type(e).__name__ == "CMixup"]
    cases = [
        (estimator, check)
        for estimator in (first, last)
        for check in (check_fit_idempotent, check_of_something_else)
    ]
    kept = first_in_full(pytest.mark.parametrize(("estimator", "check"), cases))
    assert kept.args[1] == cases[:3]
