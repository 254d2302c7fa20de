"""q-Gaussian groups beside statsmodels' mixed model, and rows beside robust regressions.

statsmodels has the Gaussian mixed model of Python; Huber's regression, in scikit-learn
and statsmodels, is what one has against outliers among independent rows.
"""

import numpy as np
from sklearn.linear_model import HuberRegressor

from benchmarks.compare import Comparison
from benchmarks.mixed_effects._tables import COEF, grouped_table
from minimalml.linear_model import QGaussianMixedRegressor


def groups_of_ten(n):
    """Draw ``n`` groups of ten rows, a tenth of them bad."""
    return grouped_table(n, 10, 0.1, seed=0)


def independent_rows(n):
    """Draw ``n`` rows of 20 columns with t noise of two degrees of freedom."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 20))
    return X, X @ np.linspace(-1, 1, 20) + rng.standard_t(2, size=n)


def fit_gaussian(data):
    return QGaussianMixedRegressor(degrees_of_freedom=np.inf).fit(*data)


def fit_tails(data):
    return QGaussianMixedRegressor().fit(*data)


def fit_statsmodels(data):
    from statsmodels.regression.mixed_linear_model import MixedLM

    X, y, groups = data
    return MixedLM(y, np.column_stack([X, np.ones(len(X))]), groups).fit(reml=False)


def fit_huber(data):
    return HuberRegressor().fit(*data)


def fit_huber_statsmodels(data):
    import statsmodels.api as sm

    X, y = data
    return sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.HuberT()).fit()


def print_estimates():
    """Print likelihoods and errors of both mixed models on one table."""
    data = groups_of_ten(500)
    peer = fit_statsmodels(data)
    print("\n500 groups of ten, a tenth of them bad")
    print(f"{'':<34}{'log-likelihood':>15}{'coefficients off by':>21}")
    rows = {
        "ours, Gaussian": fit_gaussian(data),
        "ours, tails estimated": fit_tails(data),
    }
    for name, model in rows.items():
        error = np.linalg.norm(model.coef_ - COEF)
        print(f"{name:<34}{model.log_likelihood_:>15.3f}{error:>21.4f}")
    error = np.linalg.norm(peer.fe_params[:4] - COEF)
    print(f"{'statsmodels MixedLM':<34}{peer.llf:>15.3f}{error:>21.4f}")


COMPARISONS = [
    Comparison(
        title="Gaussian mixed model of n groups of 10 rows, 4 columns",
        setup=groups_of_ten,
        ours=fit_gaussian,
        peers={
            "ours, tails estimated": fit_tails,
            "statsmodels MixedLM": fit_statsmodels,
        },
        sizes=(50, 500, 5_000),
        threads=(1,),
        target="at least 5 times as fast as statsmodels at 500 groups",
        afterwards=print_estimates,
    ),
    Comparison(
        title="Heavy tails estimated on n independent rows of 20 columns",
        setup=independent_rows,
        ours=fit_tails,
        peers={
            "scikit-learn HuberRegressor": fit_huber,
            "statsmodels RLM": fit_huber_statsmodels,
        },
        sizes=(1_000, 10_000, 100_000),
        threads=(1,),
    ),
]
