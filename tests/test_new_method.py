"""The files of a new method run as they are written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minimalml
from minimalml._methods import source_checkout
from minimalml._new_method import class_name, write_new_method

ROOT = Path(minimalml.__file__).parents[1]
pytestmark = pytest.mark.skipif(source_checkout() is None, reason="needs a checkout")


@pytest.fixture
def checkout(tmp_path):
    """Return a copy of what `write_new_method` reads and the new tests need."""
    ignored = shutil.ignore_patterns("__pycache__", "gallery", "_build", "api")
    for folder in ("minimalml", "benchmarks", "doc/_new_method", "doc/resampling"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    of_tests = ["__init__.py", "conftest.py", "estimators.py", "test_common.py"]
    of_tests += [path.relative_to(ROOT / "tests")
                 for name in ("__init__.py", "instances.py")
                 for path in (ROOT / "tests").glob(f"*/*/{name}")]  # fmt: skip
    for file in of_tests:
        (tmp_path / "tests" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / file, tmp_path / "tests" / file)
    for file in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def run(checkout, *arguments):
    result = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, capture_output=True, text=True
    )
    assert "Error" not in result.stderr, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("family", "with_kernel"),
    [
        ("brand_new", False),
        pytest.param("resampling", False, marks=pytest.mark.slow),
        pytest.param("brand_new", True, marks=pytest.mark.slow),
    ],
)
def test_they_pass_their_tests_and_miss_nothing(checkout, family, with_kernel):
    written = write_new_method(checkout, family, "odd_idea", with_kernel)
    assert ("column_sums" in " ".join(written)) == with_kernel
    if with_kernel:
        run(checkout, "setup.py", "--quiet", "build_ext", "--inplace")
    paths = (f"tests/{family}", f"minimalml/{family}/_odd_idea", "tests/test_common.py")
    words = ("-k", "odd_idea or OddIdea", "-q", "-p", "no:cacheprovider")
    last_line = run(checkout, "-m", "pytest", *words, *paths).splitlines()[-1]
    assert " passed" in last_line and "failed" not in last_line
    run(checkout, "-m", "minimalml", "claims", "odd_idea")
    missing = run(checkout, "-m", "minimalml", "methods", "--missing")
    assert f"{family}.odd_idea: nothing missing" in missing


def test_families_keep_what_they_have(checkout):
    init, rest = checkout / "minimalml/resampling/__init__.py", "\n\ndef lazy(): pass\n"
    init.write_text(init.read_text("utf-8") + rest, "utf-8")
    write_new_method(checkout, "resampling", "odd_idea")
    names = init.read_text("utf-8")
    assert '"CMixup",' in names and '"OddIdea",' in names and names.endswith(rest)
    page = (checkout / "doc/resampling/index.rst").read_text("utf-8")
    assert page.endswith("   odd_idea\n") and "   c_mixup\n" in page


def test_a_new_family_has_a_page_that_lists_its_first_method(checkout):
    write_new_method(checkout, "odd_family", "odd_idea")
    page = (checkout / "doc/odd_family/index.rst").read_text("utf-8")
    assert page.endswith(".. toctree::\n   :maxdepth: 1\n\n   odd_idea\n")


@pytest.mark.parametrize(
    ("family", "stem", "sentence"),
    [
        ("Ensemble", "soup", "FAMILY must be a name like model_soup, got 'Ensemble'"),
        ("ensemble", "model soup", "STEM must be .* got 'model soup'"),
        ("ensemble", "c_mixup", "there is a method 'c_mixup' already"),
    ],
)
def test_bad_names_are_refused_before_anything_is_written(
    tmp_path, family, stem, sentence
):
    with pytest.raises(ValueError, match=sentence):
        write_new_method(tmp_path, family, stem)
    assert not list(tmp_path.iterdir())


def test_a_class_is_named_after_its_stem():
    assert class_name("odd_idea_2") == "OddIdea2"
