"""Maximum likelihood of q-Gaussian groups, one kind of parameter after the other.

Given the degrees of freedom, a group counts the less the farther it is from the fit, and
the coefficients are those of weighted least squares. No step lowers the likelihood.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from minimalml.linear_model._mixed_effects._q_gaussian import log_normaliser, tail_loss
from minimalml.linear_model._penalised_loss import SquaredLoss, minimise

START_DF = 10.0
START_RATIO = 0.5
DF_BOUNDS = 0.3, 1e4  # the upper one is as good as Gaussian
RATIO_BOUNDS = 1e-8, 1e8
# Stationarity of penalised coefficients, in units of noise and columns: the default of
# the solver took three times the time, for steps too short to end the iterations.
SOLVER_TOL = 1e-9
SOLVER_ROUNDING = 1e-14  # the same where there is hardly noise, in units of y
SOLVER_MAX_ITER = 300  # new weights come sooner than an end where many columns are kept


class Estimates(NamedTuple):
    """Parameters of the model, and what they say of the groups."""

    coef: np.ndarray
    scale: float  # variance of the noise, but for the tails
    ratio: float  # of the random effect's variance to it
    df: float
    weights: np.ndarray  # (n_groups,)
    log_likelihood: float
    has_converged: bool  # the solver of the coefficients

    @property
    def is_degenerate(self):
        """Whether tails are as heavy as can be, and some groups count next to nothing."""
        return self.df < 1.001 * DF_BOUNDS[0] and self.weights.min() < 1e-3


class GroupedRows:
    """Rows as deviations from the mean of their group, and group means.

    Under a random intercept deviations and means are independent, so that weights by
    row are all that the covariance within groups takes. Means are times the root of the
    group's size, and singletons have no deviations.
    """

    def __init__(self, X, y, index):
        columns = np.column_stack([X, y])
        has_deviation = index.expand(index.sizes) > 1
        self.sizes, self.codes = index.sizes, index.codes[has_deviation]
        means = index.mean(columns)
        deviations = columns[has_deviation] - means[self.codes]
        stacked = np.vstack([deviations, np.sqrt(self.sizes)[:, None] * means])
        self.design, self.target = stacked[:, :-1].copy(), stacked[:, -1].copy()
        # few group sizes are different, which the normaliser need only see once
        self.unlike_sizes, self.n_alike = np.unique(self.sizes, return_counts=True)
        self.n_rows = int(self.sizes.sum())

    def weighted(self, weights, ratio):
        """Return design and target for least squares, given the weights of groups."""
        of_means = weights / (1 + self.sizes * ratio)
        roots = np.sqrt(np.concatenate([weights[self.codes], of_means]))
        return roots[:, None] * self.design, roots * self.target

    def squares(self, coef):
        """Return sums of squared residuals by group: of deviations, and of means."""
        squares = (self.target - self.design @ coef) ** 2
        n_deviations, n_groups = len(self.codes), len(self.sizes)
        within = np.bincount(self.codes, squares[:n_deviations], minlength=n_groups)
        return within, squares[n_deviations:]

    def totals(self, within, between, ratio):
        """Return squared residuals of groups by their correlations."""
        return within + between / (1 + self.sizes * ratio)

    def levels(self, estimates):
        """Return the predicted random effect of each group."""
        residuals = (self.target - self.design @ estimates.coef)[len(self.codes) :]
        share = estimates.ratio / (1 + self.sizes * estimates.ratio)
        return share * np.sqrt(self.sizes) * residuals

    def log_likelihood(self, distances, scale, ratio, df):
        """Return the logarithm of the likelihood at squared distances of groups."""
        constant = self.n_alike @ log_normaliser(self.unlike_sizes, df)
        log_determinants = self.n_rows * np.log(scale) + self._spread(ratio)
        tails = tail_loss(distances, self.sizes, df).sum()
        return float(constant - log_determinants / 2 - tails)

    def best_ratio(self, within, between, scale, ratio, df):
        """Return the likeliest ratio, 0 and the one before among those tried."""

        def loss(ratio):
            distances = self.totals(within, between, ratio) / scale
            return self._spread(ratio) / 2 + tail_loss(distances, self.sizes, df).sum()

        return min((0.0, ratio, _minimum(loss, RATIO_BOUNDS)), key=loss)

    def best_df(self, distances, df):
        """Return the likeliest degrees of freedom, the ones before among those tried."""

        def loss(df):
            constant = self.n_alike @ log_normaliser(self.unlike_sizes, df)
            return tail_loss(distances, self.sizes, df).sum() - constant

        return min((df, _minimum(loss, DF_BOUNDS)), key=loss)

    def _spread(self, ratio):
        """Return the log-determinant of all correlations."""
        return float(self.n_alike @ np.log1p(self.unlike_sizes * ratio))


def _minimum(loss, bounds):
    """Return where a function of a positive number is smallest, by its logarithm."""
    found = minimize_scalar(
        lambda log: loss(np.exp(log)), bounds=np.log(bounds), method="bounded"
    )
    return float(np.exp(found.x))


def ecm_steps(rows, penalty, smallest_scale, *, df, has_random_effect):
    """Yield `Estimates`, each likelier than the one before; ``df`` None is estimated.

    Coefficients start from least squares, penalised ones from 0.
    """
    ratio = START_RATIO if has_random_effect else 0.0
    is_df_free, df = df is None, START_DF if df is None else df
    if penalty is None:
        coef = np.linalg.lstsq(rows.design, rows.target)[0]
    else:
        coef = np.zeros(rows.design.shape[1])
    within, between = rows.squares(coef)
    scale = max((within.sum() + between.sum()) / rows.n_rows, smallest_scale)
    while True:
        distances = rows.totals(within, between, ratio) / scale
        weights = group_weights(distances, rows.sizes, df)
        coef, has_converged = _coefficients(
            *rows.weighted(weights, ratio), rows.n_rows, penalty, coef, scale
        )
        within, between = rows.squares(coef)
        squares = weights @ rows.totals(within, between, ratio) / rows.n_rows
        # parameter expansion: at the maximum weights are 1 on average
        scale = max(float(squares / weights.mean()), smallest_scale)
        if has_random_effect:
            ratio = rows.best_ratio(within, between, scale, ratio, df)
        distances = rows.totals(within, between, ratio) / scale
        if is_df_free:
            df = rows.best_df(distances, df)
        yield Estimates(
            coef, scale, ratio, df,
            group_weights(distances, rows.sizes, df),
            rows.log_likelihood(distances, scale, ratio, df),
            has_converged,
        )  # fmt: skip


def group_weights(distances, sizes, df):
    """Return how much each group counts, 1 on average."""
    return np.ones(len(sizes)) if np.isinf(df) else (df + sizes) / (df + distances)


def _coefficients(design, target, n_rows, penalty, start, scale):
    """Return coefficients, and whether they were found."""
    if penalty is None:
        return np.linalg.lstsq(design, target)[0], True
    design, target = design / np.sqrt(n_rows), target / np.sqrt(n_rows)
    column_size = np.sqrt(np.einsum("ij,ij->j", design, design).max())
    tol = max(SOLVER_TOL * np.sqrt(scale), SOLVER_ROUNDING) * column_size
    loss = SquaredLoss(design, target)
    result, _ = minimise(loss, penalty, start, max_iter=SOLVER_MAX_ITER, tol=tol)
    return result.x, result.converged
