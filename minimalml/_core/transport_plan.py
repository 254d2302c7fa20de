"""Exact optimal transport between two discrete distributions, by POT's network simplex."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from minimalml._core.optional import import_optional

MAX_ITERATIONS = 1_000_000
# Relative difference of the total masses that is taken for rounding.
MASS_TOLERANCE = 1e-8


class TransportPlan(NamedTuple):
    """An optimal plan and what proves it: ``u_i + v_j <= cost_ij``, equal where mass goes.

    value : float; plan : csr_array of shape (n_rows, n_columns); u, v : ndarray
    """

    value: float
    plan: csr_array
    u: np.ndarray
    v: np.ndarray


def transport_plan(a, b, cost, *, who):
    """Move the masses ``a`` to the masses ``b`` at least cost.

    Parameters
    ----------
    a : array-like of shape (n_rows,)
        Masses of at least 0.

    b : array-like of shape (n_columns,)
        Masses with the same total, to a relative 1e-8, and then scaled to it.

    cost : array-like of shape (n_rows, n_columns)
        What a unit of mass costs.

    who : str
        What needs it, for the error where POT is not installed.

    Returns
    -------
    TransportPlan

    Raises
    ------
    ImportError
        Without POT.
    ValueError
        If masses are negative or have other totals.
    RuntimeError
        If a million iterations did not suffice.
    """
    ot = import_optional("ot", who=who, extra="transport")
    a, b = (np.ascontiguousarray(masses, dtype=np.float64) for masses in (a, b))
    cost = np.ascontiguousarray(cost, dtype=np.float64)
    if cost.shape != (len(a), len(b)):
        raise ValueError(
            f"cost must have shape ({len(a)}, {len(b)}), got {cost.shape}."
        )
    total, other = a.sum(), b.sum()
    if not (min(a.min(), b.min()) >= 0 and 0 < total < np.inf):
        raise ValueError("masses must be finite and at least 0, with one above 0.")
    if not abs(total - other) <= MASS_TOLERANCE * total:
        raise ValueError(f"masses must have the same total, got {total} and {other}.")
    # POT's tolerances are absolute: rows and columns are reduced, and scaled to about 1
    by_row = cost.min(axis=1)
    reduced = cost - by_row[:, None]
    by_column = reduced.min(axis=0)
    reduced -= by_column
    scale = 2.0 ** np.ceil(np.log2(reduced.max())) if reduced.any() else 1.0
    reduced /= scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said again below, as an error
        plan, log = ot.emd(
            a,
            b * (total / other),
            reduced,
            numItermax=MAX_ITERATIONS,
            log=True,
        )
    if log["warning"] is not None:
        raise RuntimeError(
            f"transport of {len(a)} to {len(b)} masses was not solved within "
            f"{MAX_ITERATIONS} iterations: {log['warning']}"
        )
    u, v = log["u"] * scale + by_row, log["v"] * scale + by_column
    # POT guesses the potentials of rows without mass
    u[a == 0] = (cost[a == 0][:, b > 0] - v[b > 0]).min(axis=1)
    v[b == 0] = (cost[:, b == 0] - u[:, None]).min(axis=0)
    plan = csr_array(plan)
    rows, columns = plan.nonzero()
    return TransportPlan(float(plan.data @ cost[rows, columns]), plan, u, v)
