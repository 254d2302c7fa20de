"""Sums over bags: all that a linear model of aggregate responses needs of the data.

They add, so that rows may come in parts, over time or from many machines, and a solution
for another penalty costs no second look at the rows.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from scipy.linalg import lapack

from minimalml._core.groups import GroupIndex

# Rows that a block of whole bags holds about; twice as many left the cache: 1.8 times as slow.
BLOCK_ROWS = 2048
# Variances beyond them may have lost digits to underflow, or overflow in a solution.
LEAST_VARIANCE, LARGEST_VARIANCE = 1e-290, 1e290
# Share of a feature's sum of squares that is rounding: its square, 1e-12 squared.
CONSTANT = 1e-24
# Times the number of features: condition below which a matrix counts as singular.
SINGULAR = 1e-12


@dataclass(frozen=True, eq=False)
class AggregateStatistics:
    """Sums over bags of rows, from which `AggregateRidge` is solved; they add by ``+``.

    A bag must lie in one part whole. Memory is O(n_features²), however many the rows.

    Parameters
    ----------
    n_bags, n_rows : int
        Numbers of bags, and of rows of weight above 0.

    weight : float
        Sum of the weights of rows, their number where they have none.

    mean : ndarray of shape (n_features,)
        Weighted mean of the rows; 0 without intercept.

    response_mean : float
        Weighted mean of the responses; 0 without intercept.

    between : ndarray of shape (n_features, n_features)
        Scatter of the means of bags, each times its weight, about ``mean``.

    within : ndarray of shape (n_features, n_features)
        Scatter of the rows about the means of their bags.

    products : ndarray of shape (n_features,)
        Products of means and responses of bags, both about their means.

    response_scatter : float
        Scatter of the responses of bags about their mean.

    fit_intercept : bool
        Whether scatters are about means, or about 0.

    Examples
    --------
    >>> from minimalml.bags import AggregateRidge
    >>> from minimalml.datasets import make_aggregate_regression
    >>> X, y, bags, coef = make_aggregate_regression(4000, 3, random_state=0)
    >>> whole = AggregateRidge(interpolation=0.3).fit(X, y, bags)
    >>> one, other = (
    ...     AggregateRidge(interpolation=1).fit(X[part], y[part], bags[part]).statistics_
    ...     for part in (bags < 500, bags >= 500)
    ... )
    >>> coef, intercept = (one + other).solve(interpolation=0.3)
    >>> bool(abs(coef - whole.coef_).max() < 1e-12)
    True
    """

    n_bags: int
    n_rows: int
    weight: float
    mean: np.ndarray
    response_mean: float
    between: np.ndarray
    within: np.ndarray
    products: np.ndarray
    response_scatter: float
    fit_intercept: bool

    def __add__(self, other):
        """Return the statistics of the bags of both."""
        if not isinstance(other, AggregateStatistics):
            return NotImplemented
        if len(self.mean) != len(other.mean):
            raise ValueError(
                f"Statistics of {len(self.mean)} features can't be added to those of "
                f"{len(other.mean)}."
            )
        if self.fit_intercept != other.fit_intercept:
            raise ValueError(
                "Statistics with and without intercept can't be added: fit_intercept "
                "must be the same in all parts."
            )
        weight = self.weight + other.weight
        share = other.weight / weight
        apart = other.mean - self.mean
        responses_apart = other.response_mean - self.response_mean
        factor = self.weight * share
        between = np.outer(factor * apart, apart)
        between += self.between
        between += other.between
        products = factor * responses_apart * apart
        return AggregateStatistics(
            n_bags=self.n_bags + other.n_bags,
            n_rows=self.n_rows + other.n_rows,
            weight=weight,
            mean=self.mean + share * apart,
            response_mean=self.response_mean + share * responses_apart,
            between=between,
            within=self.within + other.within,
            products=self.products + other.products + products,
            response_scatter=self.response_scatter
            + other.response_scatter
            + factor * responses_apart * responses_apart,
            fit_intercept=self.fit_intercept,
        )

    def solve(self, alpha=0.0, interpolation=1.0):
        """Return the coefficients that minimise the interpolated loss.

        O(n_features³) time.

        Parameters
        ----------
        alpha : float, default=0.0
            Strength of the ridge penalty, on the scale of scikit-learn's ``Ridge``.

        interpolation : float, default=1.0
            Weight of the spread within bags: 0 is the bag-level loss, 1 the
            instance-level loss.

        Returns
        -------
        coef : ndarray of shape (n_features,)
            Coefficients; where many do equally well, those of the smallest norm.

        intercept : float
            Intercept, 0 without one.
        """
        matrix = self.between + interpolation * self.within
        matrix.flat[:: len(matrix) + 1] += alpha
        varies = matrix.diagonal() > CONSTANT * self.weight * self.mean**2
        coef = np.zeros(len(matrix))
        if varies.any():
            coef[varies] = _solve(matrix[np.ix_(varies, varies)], self.products[varies])
        return coef, float(self.response_mean - self.mean @ coef)


def squared_error(statistics, coef, intercept):
    """Return the sum over bags of weight times squared error of a linear model's mean."""
    total = statistics
    offset = total.response_mean - intercept - total.mean @ coef
    scatter = total.response_scatter - 2 * coef @ total.products
    scatter += coef @ total.between @ coef
    return float(max(scatter, 0.0) + total.weight * offset**2)  # not below by rounding


def _solve(matrix, products):
    """Solve a symmetric system, by its smallest solution where it is singular."""
    threshold = len(matrix) * SINGULAR
    scale = np.sqrt(matrix.diagonal())
    unit = matrix / scale / scale[:, None]
    factor, info = lapack.dpotrf(unit)
    if info == 0:
        condition, _ = lapack.dpocon(factor, np.abs(unit).sum(axis=0).max())
        if condition > threshold:
            return lapack.dpotrs(factor, products / scale)[0] / scale
    values, vectors = np.linalg.eigh(matrix)
    kept = values > threshold * values[-1]
    vectors = vectors[:, kept]
    return vectors @ ((vectors.T @ products) / values[kept])


def measure_bags(X, responses, index, weight, *, rows, bags=None, fit_intercept=True):
    """Measure whole bags, a block of them at a time.

    ``index`` numbers the ``rows`` of X that count, ``weight`` of shape (n_rows,) or None
    is theirs, ``responses`` are those of the bags, ``bags`` the numbers of those to
    measure, all by default.
    """
    bags = np.arange(len(index)) if bags is None else bags
    ends = np.cumsum(index.sizes[bags])
    cuts = np.searchsorted(ends, np.arange(BLOCK_ROWS, ends[-1], BLOCK_ROWS), "right")

    def measure_block(block):
        places, offsets = index.rows(block)
        values = X[rows[places]].astype(np.float64, copy=False)
        block_weight = None if weight is None else weight[places]
        return _measure_block(
            values, responses[block], block_weight, offsets, fit_intercept
        )

    blocks = np.split(bags, np.unique(cuts[cuts > 0]))
    return reduce(add, map(measure_block, blocks))


def _measure_block(X, responses, weight, offsets, fit_intercept):
    """Measure bags whose rows lie one after the other; X is used up."""
    sizes = np.diff(offsets)
    index = GroupIndex(np.repeat(np.arange(len(sizes)), sizes), len(X))
    bag_weight = sizes.astype(np.float64) if weight is None else index.sum(weight)
    means = index.mean(X, weight)
    X -= means[index.codes]
    if weight is not None:
        X *= np.sqrt(weight)[:, None]
    total = bag_weight.sum()
    mean, response_mean = np.zeros(X.shape[1]), 0.0
    if fit_intercept:
        mean = bag_weight @ means / total
        response_mean = float(bag_weight @ responses / total)
    root = np.sqrt(bag_weight)
    means -= mean
    means *= root[:, None]
    between = means.T @ means
    responses = root * (responses - response_mean)
    return AggregateStatistics(
        n_bags=len(sizes),
        n_rows=len(X),
        weight=float(total),
        mean=mean,
        response_mean=response_mean,
        between=between,
        within=np.zeros_like(between) if index.is_singletons else X.T @ X,
        products=means.T @ responses,
        response_scatter=float(responses @ responses),
        fit_intercept=fit_intercept,
    )


def refuse_extremes(statistics, X, responses, rows):
    """Refuse numbers that vary by so much, or so little, that squares lose them."""
    spread = statistics.between.diagonal() + statistics.within.diagonal()
    columns = (
        ("X", X, statistics.mean, spread),
        ("y", responses[:, None], [statistics.response_mean], [statistics.response_scatter]),
    )  # fmt: skip
    for name, values, mean, scatter in columns:
        mean, variance = np.array(mean), np.array(scatter) / statistics.weight
        if not (variance < LARGEST_VARIANCE).all():
            raise ValueError(
                f"{name} holds numbers too large to be squared: scale {name}."
            )
        tiny = variance < LEAST_VARIANCE
        if not tiny.any():
            continue
        values = values[:, tiny][rows] if name == "X" else values[:, tiny]
        if (np.abs(values - mean[tiny]) > np.sqrt(CONSTANT) * np.abs(mean[tiny])).any():
            raise ValueError(f"{name} varies too little to be squared: scale {name}.")
