"""What bad groups do to coefficients, with q-Gaussian and with Gaussian tails.

Paper: Yang, "Contributions to Robust and Efficient Methods for Analysis of High
Dimensional Data", 2025. It takes all rows for one draw of a q-Gaussian; here each group
is a draw, for the reason that the second claim measures. Tables are drawn, of 60 groups
of five rows, with unit variances of levels and noise. Nothing is tuned.
"""

import numpy as np

from benchmarks.claims import Outcome, claim
from benchmarks.mixed_effects._tables import COEF, grouped_table
from minimalml.linear_model import QGaussianMixedRegressor, q_gaussian_logpdf

SEEDS = range(20)
N_GROUPS, GROUP_SIZE = 60, 5
BAD_SHARES = (0, 0.05, 0.1, 0.2, 0.3)
DFS = (0.3, 1, 3, 10, 100, 1e4, np.inf)


def fits(bad_share, seed):
    """Fit with estimated and with Gaussian tails."""
    table = grouped_table(N_GROUPS, GROUP_SIZE, bad_share, seed)
    return [
        QGaussianMixedRegressor(degrees_of_freedom=df).fit(*table)
        for df in ("estimate", np.inf)
    ]


def spread(values):
    return f"{np.mean(values):.2g} ± {np.std(values):.1g}"


@claim(
    "Where a tenth of the groups is bad, the mean squared error of the coefficients is at "
    "most 0.4 of that of the Gaussian mixed model; where none is, it is the same"
)
def bad_groups():
    measured, ratios = {}, {}
    for bad_share in BAD_SHARES:
        ours, gaussian = zip(*(fits(bad_share, seed) for seed in SEEDS), strict=True)
        error, of_gaussian = (
            np.array([np.mean((m.coef_ - COEF) ** 2) for m in models])
            for models in (ours, gaussian)
        )
        ratios[bad_share] = error.mean() / of_gaussian.mean()
        df = np.median([m.degrees_of_freedom_ for m in ours])
        measured[f"{bad_share:.0%} of groups bad"] = {
            "mean squared error": spread(error),
            "Gaussian": spread(of_gaussian),
            "ratio of means": f"{ratios[bad_share]:.2f}",
            "smaller than Gaussian": f"{(error < of_gaussian).sum()} of {len(SEEDS)}",
            "noise scale (good groups: 1)": spread([m.scale_ for m in ours]),
            "noise scale, Gaussian": spread([m.scale_ for m in gaussian]),
            "median degrees of freedom": f"{df:.3g}",
        }
    holds = ratios[0.1] <= 0.4, 0.95 <= ratios[0] <= 1.1
    verdict = ("not reproduced", "partly", "reproduced")[sum(holds)]
    parts = (f"{ratio:.2f} at {share:.0%}" for share, ratio in ratios.items())
    return Outcome(
        verdict,
        summary=f"{len(SEEDS)} seeds, error over that of the Gaussian model by the share "
        f"of bad groups: {', '.join(parts)}.",
        measured=measured,
    )


def profile_likelihoods(seed):
    """Largest likelihoods of residuals as one draw, by degrees of freedom."""
    X, y, _ = grouped_table(N_GROUPS, GROUP_SIZE, 0.1, seed)
    residuals = y - X @ np.linalg.lstsq(X, y)[0]
    # whatever the degrees of freedom, the mean square is the likeliest scale
    scale = np.mean(residuals**2)
    return [q_gaussian_logpdf(residuals, 0.0, scale, df=df) for df in DFS]


@claim("Heavy tails of all rows as one draw are found by maximum likelihood")
def one_draw():
    likelihoods = np.array([profile_likelihoods(seed) for seed in SEEDS])
    n_rising = int((np.diff(likelihoods, axis=1) > 0).all(axis=1).sum())
    falls = (likelihoods - likelihoods[:, -1:]).mean(axis=0)  # the same for each seed
    return Outcome(
        "not reproduced" if n_rising else "reproduced",
        summary=f"In {n_rising} of {len(SEEDS)} seeds the likelihood of one draw rises with "
        "the degrees of freedom up to the Gaussian, by the same numbers whatever the rows, "
        "though a tenth of the groups is bad: one draw can't tell its tails.",
        measured={
            f"log-likelihood less the Gaussian one, {df:g} degrees of freedom": f"{fall:.2f}"
            for df, fall in zip(DFS[:-1], falls, strict=False)
        },
    )
