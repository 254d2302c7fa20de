"""Measure every contender on the same seeds, and say who wins and how surely."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits


@dataclass
class Demo:
    """What one family shows: the setting that its method is for.

    Attributes
    ----------
    title, question, data : str
        Heading, what the comparison asks, and what the data are, in plain words.
    but : str
        Where the method does not win, and which claim shows it.
    contenders : dict of str to callable
        Called with a seed, returns the metric on rows that no fit and no search saw.
    ours : str
        Name of the contender that is this library's method.
    metric : str
        What the figure is.
    n_seeds : int
        Data are drawn or split anew for each.
    lower_is_better : bool
        Whether the metric is an error.
    yardstick : str
        A contender that is no rival, such as the model before it was pruned.
    code : str
        The method in a search, as a user would write it.
    figure : callable
        ``figure() -> (caption, figure)``, drawn for the report.
    """

    title: str
    question: str
    data: str
    but: str
    contenders: dict
    ours: str
    metric: str
    n_seeds: int
    code: str
    figure: Callable
    lower_is_better: bool = False
    yardstick: str = ""


@dataclass
class Result:
    """Figures of every contender for every seed.

    Attributes
    ----------
    demo : Demo
        What was asked.
    values : ndarray of shape (n_seeds, n_contenders)
        The metric.
    seconds : ndarray of shape (n_seeds, n_contenders)
        What a contender took, its search and its test included.
    """

    demo: Demo
    values: np.ndarray
    seconds: np.ndarray

    @property
    def names(self):
        """Names of the contenders, in their columns' order."""
        return list(self.demo.contenders)

    def order(self):
        """Positions of the contenders, best mean first."""
        means = self.values.mean(axis=0)
        return np.argsort(means if self.demo.lower_is_better else -means)

    def difference(self, first, second):
        """Mean and standard deviation, over seeds, of ``first`` minus ``second``."""
        paired = self.values[:, first] - self.values[:, second]
        return paired.mean(), paired.std(ddof=1)

    def wins(self, first, second):
        """On how many seeds ``first`` is better than ``second``."""
        paired = self.values[:, first] - self.values[:, second]
        return int(np.sum(paired < 0 if self.demo.lower_is_better else paired > 0))

    def verdict(self):
        """Say how ours compares with the best of the others, and how surely."""
        ours = self.names.index(self.demo.ours)
        no_rivals = (self.demo.ours, self.demo.yardstick)
        rival = next(i for i in self.order() if self.names[i] not in no_rivals)
        mean, spread = self.difference(ours, rival)
        wins, n_seeds = self.wins(ours, rival), len(self.values)
        noise = " (within the noise)" if abs(mean) < spread / np.sqrt(n_seeds) else ""
        return (
            f"{sentence(self.demo.ours)} is better than {self.names[rival]}, the best "
            f"of the others, on {wins} of {n_seeds} seeds: {self.demo.metric} "
            f"{with_error(mean, spread, '+')}{noise}."
        )


def measure(demo, n_jobs=-1):
    """Run all contenders on all seeds, one thread each."""
    runs = Parallel(n_jobs)(
        delayed(_measure_seed)(list(demo.contenders.values()), seed)
        for seed in range(demo.n_seeds)
    )
    values, seconds = np.moveaxis(np.array(runs), -1, 0)
    return Result(demo, values, seconds)


def _measure_seed(contenders, seed):
    figures = []
    with threadpool_limits(1):
        for contender in contenders:
            start = time.perf_counter()
            value = contender(seed)
            figures.append((value, time.perf_counter() - start))
    return figures


def sentence(text):
    """Start with a capital letter."""
    return text[0].upper() + text[1:]


def with_error(value, error, sign=""):
    """Write a value and its error, rounded to two digits of the error."""
    digits = 1 if error == 0 else max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:{sign}.{digits}f} ± {error:.{digits}f}"


def table_rows(result):
    """Return headings and rows, best contender first, as text."""
    ours = result.names.index(result.demo.ours)
    better = np.argmin if result.demo.lower_is_better else np.argmax
    best_of_seed = better(result.values, axis=1)
    headings = ["", f"{result.demo.metric} ± sd", "beside ours ± sd", "best on", "time"]
    rows = []
    for i in result.order():
        values, difference = result.values[:, i], result.difference(i, ours)
        rows.append(
            [
                result.names[i],
                with_error(values.mean(), values.std(ddof=1)),
                "" if i == ours else with_error(*difference, "+"),
                f"{np.sum(best_of_seed == i)} of {len(values)}",
                f"{np.median(result.seconds[:, i]):.2g} s",
            ]
        )
    return headings, rows


def plain_table(result):
    """Return the table as text; an arrow marks ours."""
    headings, rows = table_rows(result)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for row in [headings, *rows]:
        mark = "> " if row[0] == result.demo.ours else "  "
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        lines.append((mark + "  ".join(cells)).rstrip())
    return "\n".join(lines)
