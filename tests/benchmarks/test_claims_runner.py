"""The runner of claims: what it keeps, and beside what."""

import json
import platform
import sys
import types

import pytest

runner = pytest.importorskip("benchmarks.claims", reason="needs a checkout")


def experiment(verdict):
    marked = runner.claim(f"This will be {verdict}")
    return marked(lambda: runner.Outcome(verdict, "Seen.", {"ratio": 2.0}))


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Return an importable claim script with two experiments, ``first`` and ``second``."""
    module = types.ModuleType("benchmarks.toy.claims")
    module.first, module.second = experiment("partly"), experiment("reproduced")
    monkeypatch.setitem(sys.modules, "benchmarks.toy.claims", module)
    monkeypatch.setattr(runner, "HERE", tmp_path)
    (tmp_path / "toy").mkdir()
    return module


def verdicts():
    return {name: kept["verdict"] for name, kept in runner.results_of("toy").items()}


def test_every_claim_is_printed_and_kept(script, capsys):
    runner.run("toy")
    out = capsys.readouterr().out
    assert "claim     This will be partly\nmeasured  Seen.\nverdict   partly" in out
    assert verdicts() == {"first": "partly", "second": "reproduced"}


def test_a_named_claim_runs_alone_and_keeps_the_others_in_order(script):
    runner.run("toy")
    script.first = experiment("not reproduced")
    script.second = runner.claim("untouched")(lambda: pytest.fail("was run"))
    runner.run("toy", ["first"])
    assert list(verdicts().items()) == [
        ("first", "not reproduced"),
        ("second", "reproduced"),
    ]


def test_a_claim_that_left_the_script_leaves_the_results(script):
    runner.run("toy")
    del script.second
    runner.run("toy", ["first"])
    assert list(verdicts()) == ["first"]


def test_an_interrupted_run_keeps_what_was_measured(script):
    def fail():
        raise KeyboardInterrupt

    script.second = runner.claim("interrupted")(fail)
    with pytest.raises(KeyboardInterrupt):
        runner.run("toy")
    assert list(verdicts()) == ["first"]


def test_each_claim_carries_its_own_versions(script, monkeypatch):
    loaded = types.SimpleNamespace(__version__="9.9")
    monkeypatch.setitem(sys.modules, "torch", loaded)
    old = {"claim": "c", "verdict": "partly", "summary": "s", "measured": {}}
    record = {"method": "toy", "python": "3.0", "claims": {"first": old}}
    (runner.results_file("toy")).write_text(json.dumps(record))
    runner.run("toy", ["second"])
    kept = runner.results_of("toy")
    assert kept["first"]["versions"] == {"python": "3.0"}
    assert kept["second"]["versions"]["python"] == platform.python_version()
    assert kept["second"]["versions"]["torch"] == "9.9"


def test_a_list_of_numbers_takes_one_line():
    record = {"a [b ]": {"values": [1.5, 2], "deep": [[1], [2]]}}
    text = runner.as_json(record)
    assert json.loads(text) == record
    assert '"values": [1.5, 2]' in text


def test_an_unknown_verdict_is_refused():
    with pytest.raises(ValueError, match=r"verdict must be one of .*, got 'perhaps'"):
        runner.Outcome("perhaps", "")
