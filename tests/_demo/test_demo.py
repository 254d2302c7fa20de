"""The demo's measurement and report, on contenders that take no time."""

import importlib
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from minimalml import _demo
from minimalml._demo._measure import (
    Demo,
    Result,
    measure,
    plain_table,
    table_rows,
    with_error,
)
from minimalml._demo._report import write_report


def small_demo():
    return Demo(
        title="Small <demo>",
        question="Is less more?",
        data="None.",
        but="not always.",
        contenders={
            "constant": lambda seed: 3.0,
            "ours": lambda seed: 2.0 + 0.1 * seed,
            "whole": lambda seed: 0.0,
        },
        ours="ours",
        metric="error",
        n_seeds=3,
        code="print('a < b')",
        figure=lambda: ("Nothing", plt.figure()),
        lower_is_better=True,
        yardstick="whole",
    )


@pytest.fixture(scope="module")
def result():
    return measure(small_demo(), n_jobs=1)


def test_each_contender_is_measured_on_each_seed(result):
    np.testing.assert_allclose(result.values, [[3, 2, 0], [3, 2.1, 0], [3, 2.2, 0]])
    assert result.seconds.shape == (3, 3)


def test_the_verdict_compares_with_the_best_rival_and_not_with_the_yardstick(result):
    assert result.verdict() == (
        "Ours is better than constant, the best of the others, on 3 of 3 seeds: error "
        "-0.90 ± 0.10."
    )


def test_a_small_lead_is_called_noise():
    values = np.array([[1.0, 0.0, 0.0], [1.0, 3.0, 0.0], [1.0, 0.2, 0.0]])
    verdict = Result(small_demo(), values, values).verdict()
    assert "on 2 of 3 seeds" in verdict and "(within the noise)" in verdict


@pytest.mark.parametrize(
    ("value", "error", "written"),
    [
        (55.69, 1.13, "55.7 ± 1.1"),
        (0.8753, 0.0131, "0.875 ± 0.013"),
        (3.0, 0, "3.0 ± 0.0"),
    ],
)
def test_figures_are_rounded_to_two_digits_of_their_spread(value, error, written):
    assert with_error(value, error) == written


def test_the_table_starts_with_the_best_and_marks_ours(result):
    headings, rows = table_rows(result)
    assert [row[0] for row in rows] == ["whole", "ours", "constant"]
    assert all(len(row) == len(headings) for row in rows)
    marked = [line for line in plain_table(result).splitlines() if line[0] == ">"]
    assert len(marked) == 1 and marked[0].startswith("> ours")


class References(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        self.found += [v for k, v in attributes if k in {"src", "href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_well_formed_file_that_needs_nothing_else(result, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, [result], seconds=1.0)
    page = path.read_text("utf-8")
    parser = References()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.found) == 2
    assert all(link.startswith("data:image/svg+xml;base64,") for link in parser.found)
    assert "url(" not in page and "http" not in page
    assert "Small &lt;demo&gt;" in page and "a &lt; b" in page


@pytest.mark.parametrize("family", _demo.available())
def test_each_demo_runs_and_draws(family, tmp_path):
    pytest.importorskip("torch")
    demo = importlib.import_module(f"minimalml._demo.{family}").demo(quick=True)
    assert demo.ours in demo.contenders
    assert re.search(r"python -m minimalml claims \w+\.$", demo.but)
    write_report(tmp_path / "report.html", [measure(demo, n_jobs=1)], seconds=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("family", _demo.available())
def test_the_search_that_a_demo_shows_runs_when_pasted(family):
    demo = importlib.import_module(f"minimalml._demo.{family}").demo()
    names = {}
    exec(demo.code, names)
    assert names["search"].best_params_


@pytest.mark.parametrize("module", ["torch", "matplotlib.pyplot"])
def test_a_missing_package_is_one_sentence_with_all_extras(monkeypatch, capsys, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert _demo.run([], "report.html") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run pip install 'minimalml[torch,plot]'." in error
