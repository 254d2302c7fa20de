"""The demo's comparison and report, on contenders that fit in milliseconds."""

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import GridSearchCV, ShuffleSplit

pytest.importorskip("rich")
plt = pytest.importorskip("matplotlib.pyplot")

from minimalml import _demo
from minimalml._demo._compare import (
    Contender,
    Demo,
    Result,
    compare,
    search_all,
    with_error,
)
from minimalml._demo._report import print_result, table_rows, write_report


def small_demo():
    X, y = load_diabetes(return_X_y=True)
    return Demo(
        title="Small <demo>",
        question="Is a line better than the mean?",
        data="Diabetes.",
        X=X,
        y=y,
        contenders=[
            Contender("mean", DummyRegressor(), {"strategy": ["mean", "median"]}),
            Contender("ridge", Ridge(), {"alpha": [1.0, 1e4]}, is_ours=True),
            Contender("lasso", Lasso(), {"alpha": [0.1, 1e4]}),
        ],
        baseline="mean",
        scoring="neg_root_mean_squared_error",
        metric="RMSE",
        code="print('a < b')",
        showcase=GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2),
        figures=lambda search: [("Chosen", plt.figure())],
        splits=ShuffleSplit(3, test_size=0.25, random_state=0),
        inner_folds=2,
    )


@pytest.fixture(scope="module")
def result():
    return compare(small_demo(), n_jobs=1)


def test_each_contender_is_scored_with_its_own_best_parameters(result):
    assert result.values.shape == (3, 3)
    for params in result.params:
        assert [type(p["model"]) for p in params] == [DummyRegressor, Ridge, Lasso]
        assert params[1]["model__alpha"] == 1.0
        assert params[2]["model__alpha"] == 0.1


def test_a_demo_says_how_many_folds_its_searches_have():
    search = search_all(small_demo(), n_jobs=1).fit(*load_diabetes(return_X_y=True))
    assert search.n_splits_ == 2 and len(search.cv_results_["params"]) == 6


def test_scores_are_those_of_the_unseen_part(result):
    X, y = load_diabetes(return_X_y=True)
    train, test = next(result.demo.splits.split(X))
    strategy = result.params[0][0]["model__strategy"]
    constant = getattr(np, strategy)(y[train])
    assert result.values[0, 0] == pytest.approx(np.sqrt(np.mean((y[test] - constant) ** 2)))  # fmt: skip


def known_result(ours):
    values = np.column_stack([np.full(3, 80.0), ours, [60.0, 60.1, 60.0]])
    return Result(small_demo(), values, values, [])


def test_differences_are_paired():
    known = known_result([50.0, 51.0, 52.0])
    assert known.difference(1, 0) == (pytest.approx(-29.0), pytest.approx(1.0))
    assert known.wins(1, 0) == 3 and known.wins(0, 1) == 0


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (
            [50.0, 50.1, 50.2],
            r"Ridge has the lowest mean RMSE, 50\.10.*: ahead on 3 of 3",
        ),
        ([50.0, 90.0, 50.0], "Lasso has the lowest.*within the noise, ahead on 1 of 3"),
    ],
)
def test_the_verdict_names_the_winner_and_whether_the_lead_is_real(ours, words):
    assert re.search(words, known_result(ours).verdict())


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


def test_the_table_starts_with_the_best(result, capsys):
    headings, rows = table_rows(result)
    means = [float(row[1].split()[0]) for row in rows]
    assert means == sorted(means)
    assert all(len(row) == len(headings) for row in rows)
    print_result(result)
    printed = capsys.readouterr().out
    assert "ridge" in printed and "lowest mean RMSE" in printed


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


@pytest.mark.parametrize("module", ["rich", "torch", "matplotlib.pyplot"])
def test_a_missing_package_is_one_sentence_with_all_extras(monkeypatch, capsys, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert _demo.run([], "report.html") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run pip install 'minimalml[torch,plot,progress]'." in error
