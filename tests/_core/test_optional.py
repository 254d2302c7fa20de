import subprocess
import sys

import pytest

from minimalml._core.optional import import_optional


@pytest.mark.parametrize(
    ("module", "extra"), [("torch", "torch"), ("matplotlib.pyplot", "plot")]
)
def test_a_missing_package_is_named_with_the_command(monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"Probe needs .*pip install 'minimalml\[{extra}\]'"
    with pytest.raises(ImportError, match=message):
        import_optional(module, who="Probe", extra=extra)


def test_an_import_error_inside_the_package_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "broken_package.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        import_optional("broken_package", who="Probe", extra="torch")


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_an_old_scikit_learn_is_refused_in_one_sentence():
    result = run_python(
        "import sklearn; sklearn.__version__ = '1.5.2'; import minimalml._core"
    )
    assert "minimalml needs scikit-learn >= 1.9, found 1.5.2" in result.stderr


def test_no_part_of_the_package_imports_torch_matplotlib_or_dask():
    result = run_python(
        "import importlib, minimalml, sys\n"
        "import sklearn.base\n"
        "before = set(sys.modules)  # scikit-learn itself may import pandas\n"
        "for name in minimalml._SUBPACKAGES - {'testing'}:\n"
        "    importlib.import_module(f'minimalml.{name}')\n"
        "heavy = {'torch', 'matplotlib', 'dask', 'pandas', 'cvxpy'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    assert result.stdout.strip() == "[]", result.stderr
