"""The command line and the README, which shows what it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minimalml import __main__ as command_line
from minimalml import _methods as table
from minimalml._methods import Method, load_methods, missing_files

ROOT = table.source_checkout()
needs_checkout = pytest.mark.skipif(ROOT is None, reason="needs a source checkout")


def run(capsys, *arguments):
    code = command_line.main(arguments)
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["methods", "--help"]]
)
def test_help_explains_itself(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 0
    assert "python -m minimalml" in capsys.readouterr().out


def test_no_command_is_refused_with_the_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main([])
    assert stop.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("form", [(), ("--markdown",)])
def test_methods_lists_every_method_with_its_classes(capsys, form):
    code, out, _ = run(capsys, "methods", *form)
    assert code == 0
    for method in load_methods():
        assert method.name in out and method.arxiv in out
        assert all(name in out for name in method.classes)
    assert form or max(map(len, out.splitlines())) <= 88


def example_method():
    return Method("Name", "some_method", "room", ("Class",), "Paper", "0000.0000", "")


def test_missing_files_are_those_of_the_stem(tmp_path):
    missing = missing_files(example_method(), tmp_path)
    assert missing["claims"] == "benchmarks/some_method/claims.py"
    (tmp_path / "minimalml" / "room" / "_some_method").mkdir(parents=True)
    assert missing_files(example_method(), tmp_path).keys() == missing.keys() - {
        "library"
    }


@needs_checkout
def test_missing_is_listed_method_by_method(capsys):
    code, out, _ = run(capsys, "methods", "--missing")
    n_missing = sum(len(missing_files(m, ROOT)) for m in load_methods())
    assert code == int(n_missing > 0)
    assert all(method.stem in out for method in load_methods())


@needs_checkout
def test_the_table_of_the_readme_is_current():
    text = (ROOT / "README.md").read_text("utf-8")
    assert command_line.readme_with_table(text) == text, (
        "run python -m minimalml methods --update-readme"
    )


@needs_checkout
def test_update_readme_changes_the_table_only(monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text(
        "a\n<!-- methods: x -->\nold\n<!-- end of methods -->\nb\n"
    )
    monkeypatch.setattr(command_line, "source_checkout", lambda: tmp_path)
    assert command_line.main(["methods", "--update-readme"]) == 0
    table_text = command_line.markdown_table()
    assert (tmp_path / "README.md").read_text() == (
        f"a\n<!-- methods: x -->\n{table_text}\n<!-- end of methods -->\nb\n"
    )


@needs_checkout
def test_the_example_of_the_readme_runs_when_pasted(tmp_path):
    text = (ROOT / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 10
    result = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "cmixupregressor__bandwidth" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [["claims"], ["methods", "--missing"], ["methods", "--update-readme"]],
)
def test_an_installed_package_asks_for_a_checkout(capsys, monkeypatch, arguments):
    monkeypatch.setattr(command_line, "source_checkout", lambda: None)
    code, _, error = run(capsys, *arguments)
    assert code == 2
    assert "needs a source checkout" in error and error.count("\n") == 1


def test_a_checkout_is_told_from_an_installation(monkeypatch, tmp_path):
    monkeypatch.setattr(table.minimalml, "__file__", str(tmp_path / "m" / "i.py"))
    assert table.source_checkout() is None


@pytest.fixture
def claim_scripts(monkeypatch):
    """Two methods with two claims each; returns the list of what was run."""
    from benchmarks import claims as runner

    marked = runner.claim("Less is more")(lambda: None)
    ran = []
    monkeypatch.setattr(runner, "available", lambda: ["one", "two"])
    monkeypatch.setattr(runner, "experiments_of", lambda _: dict(a=marked, b=marked))
    monkeypatch.setattr(runner, "results_of", lambda _: {"a": {"verdict": "partly"}})
    monkeypatch.setattr(runner, "run", lambda *arguments: ran.append(arguments))
    return ran


@needs_checkout
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", [("one", []), ("two", [])]),
        ("two", [("two", [])]),
        ("two b a", [("two", ["b", "a"])]),
        ("one b two", [("one", ["b"]), ("two", [])]),
    ],
)
def test_claims_runs_the_named_methods_and_claims(
    capsys, claim_scripts, words, expected
):
    assert run(capsys, "claims", *words.split())[0] == 0
    assert claim_scripts == expected


@needs_checkout
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("three", "no claims for three; there are: one, two."),
        ("a one", "no claims for a; there are: one, two."),
        ("one c", "c is neither a claim of one (a, b) nor a method (one, two)."),
    ],
)
def test_an_unknown_claim_is_refused_with_the_known_ones(
    capsys, claim_scripts, words, sentence
):
    code, _, error = run(capsys, "claims", *words.split())
    assert (code, error) == (2, sentence + "\n")
    assert claim_scripts == []


@needs_checkout
def test_claims_of_a_method_are_listed_with_their_verdicts(capsys, claim_scripts):
    code, out, _ = run(capsys, "claims", "--list", "two")
    assert code == 0
    assert "a  (partly)\n    Less is more\nb  (not run yet)\n" in out
    assert claim_scripts == []


@needs_checkout
def test_claims_list_names_the_scripts(capsys):
    code, out, _ = run(capsys, "claims", "--list")
    scripts = Path(ROOT, "benchmarks").glob("*/claims.py")
    assert code == 0
    assert set(out.split()) == {path.parent.name for path in scripts}
