"""The package as a whole: lazy rooms, the table of methods, the report of versions."""

import importlib
import subprocess
import sys

import pytest

import minimalml
from minimalml._methods import load_methods


def test_rooms_are_imported_when_first_used():
    code = (
        "import minimalml, sys\n"
        "rooms = [m for m in sys.modules if m.startswith('minimalml.')]\n"
        "assert rooms == [], rooms\n"
        "minimalml.datasets\n"
        "assert 'minimalml.datasets' in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_an_unknown_attribute_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'no_such_room'"):
        minimalml.no_such_room  # noqa: B018


def test_dir_lists_the_rooms():
    assert {"datasets", "show_versions", "__version__"} <= set(dir(minimalml))


def test_versions_name_what_a_bug_report_needs(capsys):
    minimalml.show_versions()
    printed = capsys.readouterr().out
    for word in ("minimalml", "scikit-learn", "threads of a kernel", "thread pool"):
        assert word in printed


def test_each_method_names_public_classes():
    for method in load_methods():
        family = importlib.import_module(f"minimalml.{method.family}")
        assert set(method.classes) <= set(family.__all__), method.name


def test_method_stems_are_unique():
    stems = [method.stem for method in load_methods()]
    assert len(stems) == len(set(stems))
