"""Exchange rows of a selection for others that bring it nearer to the target.

The dual of optimal transport scores every row at once, and bounds what an exchange can
gain before it is tried (Mei et al., 2025).
"""

import numpy as np
from sklearn.utils import check_array, gen_batches

from minimalml._core.transport_plan import transport_plan
from minimalml.resampling._facility_location import LazyGreedy, column_shares

# What rounding may change in a value of transport, relative to 1 or to the value.
IMPROVEMENT = 1e-12
# Picks of the start, in selections, among which rows that stand for a target are sought.
MAX_PICKS = 10
# Costs that are scored at once: a few MB beside the matrix.
BLOCK_NUMBERS = 1 << 18
WHO = "TransportCoresetSelector"


def marginal_improvement(cost, potentials, sample_indices, *, target_weight=None):
    """Score every row by what transport from the selection would cost with it.

    The largest value that the dual of transport can gain by a potential of the row,
    those of the selected rows as they are. A row outside the selection with a small score
    promises to lower the cost; a selected row with a large score is expendable.
    O(n_rows n_target) time.

    Parameters
    ----------
    cost : array-like of shape (n_rows, n_target)
        Cost of moving a unit of mass from a row to a target row.

    potentials : array-like of shape (n_selected,)
        Dual potentials of the selected rows, from transport of 1 / n_selected each.

    sample_indices : array-like of int of shape (n_selected,)
        The selected rows, at least two.

    target_weight : array-like of shape (n_target,), default=None
        Masses of the target rows, scaled to a sum of 1; None: all alike.

    Returns
    -------
    scores : ndarray of float64 of shape (n_rows,)
        In the units of the cost. That of a selected row is taken with the others alone.

    Raises
    ------
    ValueError
        If shapes don't match, or fewer than two rows are selected.

    References
    ----------
    .. [1] T. Mei et al., "GORACS: Group-level Optimal Transport-guided Coreset Selection
       for LLM-based Recommender Systems", 2025. arXiv:2506.04015

    Examples
    --------
    >>> from minimalml.resampling import marginal_improvement
    >>> cost = [[0.0, 1.0], [1.0, 0.9], [1.0, 0.0]]
    >>> marginal_improvement(cost, [0.0, 0.0], [0, 1]).round(2)
    array([-0.5 , -0.05, -0.45])
    """
    cost = check_array(cost, dtype=[np.float64, np.float32], input_name="cost")
    potentials, selected = np.asarray(potentials, float), np.asarray(sample_indices)
    if selected.ndim != 1 or len(selected) < 2 or potentials.shape != selected.shape:
        raise ValueError(
            "potentials and sample_indices must hold a number for each of at least two "
            f"selected rows, got shapes {potentials.shape} and {selected.shape}."
        )
    if not 0 <= selected.min() <= selected.max() < len(cost):
        raise ValueError(
            f"sample_indices must be rows of cost, from 0 to {len(cost) - 1}, got "
            f"{selected.min()} to {selected.max()}."
        )
    weights = column_shares(target_weight, cost.shape[1], name="target_weight")
    return _scores(cost, weights, selected, _LowestCosts(cost, selected, potentials))


class _LowestCosts:
    """Reduced costs of the columns, over all selected rows and without one of them."""

    def __init__(self, cost, selected, potentials):
        reduced = cost[selected] - potentials[:, None]  # (n_selected, n_target)
        self.owner = reduced.argmin(axis=0)
        self.first, self.second = np.partition(reduced, 1, axis=0)[:2]

    def without(self, place):
        return np.where(self.owner == place, self.second, self.first)


def _scores(cost, weights, selected, lowest):
    scores = np.empty(len(cost))
    for rows in gen_batches(len(cost), max(1, BLOCK_NUMBERS // cost.shape[1])):
        scores[rows] = _dual_gains(cost[rows] - lowest.first, weights, len(selected))
    for place, row in enumerate(selected):
        others = cost[row] - lowest.without(place)
        scores[row] = _dual_gains(others[None], weights, len(selected))[0]
    return scores


def _dual_gains(differences, weights, n_selected):
    """Maximise ``u / n + sum_j w_j min(d_j - u, 0)`` over u, for each row d."""
    n_target = len(weights)
    if (weights == weights[0]).all():  # the maximiser has a rank that is known
        rank = -(-n_target // n_selected)
        smallest = np.partition(differences, rank - 1, axis=1)[:, :rank]
        best = smallest[:, -1]
        return best / n_selected + (smallest - best[:, None]).sum(axis=1) / n_target
    order = np.argsort(differences, axis=1)
    masses = np.cumsum(weights[order], axis=1)
    places = np.minimum((masses < 1 / n_selected).sum(axis=1), n_target - 1)
    rows = np.arange(len(order))
    best = differences[rows, order[rows, places]]
    return best / n_selected + np.minimum(differences - best[:, None], 0) @ weights


def greedy_start(cost, weights, n_selected):
    """Pick rows that each stand for a part of the target, by relaxed transport.

    Facility location stops gaining once each target row has its nearest row; picks that
    no target row is nearest to are then replaced by later ones, where there are any.
    """
    greedy = LazyGreedy(cost, weights, sign=-1.0)
    picks = greedy.add(n_selected)
    owners = _owners(cost, picks)
    n_useful, n_possible = len(np.unique(owners)), len(np.unique(cost.argmin(axis=0)))
    if n_useful == n_selected or n_possible <= n_selected:
        return picks
    lowest = cost[owners, np.arange(cost.shape[1])]
    for _ in range(min(MAX_PICKS * n_selected, len(cost)) - n_selected):
        row = greedy.add(1)[-1]
        is_nearer = (cost[row] < lowest) | ((cost[row] == lowest) & (row < owners))
        owners[is_nearer], lowest[is_nearer] = row, cost[row, is_nearer]
        useful = np.unique(owners)
        if len(useful) == n_selected:
            return greedy.indices[np.isin(greedy.indices, useful)]
    return picks


def _owners(cost, picks):
    """Return the nearest pick of each column, the lowest row among equals."""
    ascending = np.sort(picks)
    return ascending[cost[ascending].argmin(axis=0)]


class Exchange:
    """A selection and its transport to the target, improved by one exchange a step.

    Parameters
    ----------
    cost : ndarray of shape (n_rows, n_target)
    weights : ndarray of float64 of shape (n_target,), with a sum of 1
    n_selected, n_candidates : int

    Attributes
    ----------
    selected : ndarray of int of shape (n_selected,)
    solution : TransportPlan
    n_solves : int
    """

    def __init__(self, cost, weights, n_selected, n_candidates):
        self.cost, self.weights, self.n_candidates = cost, weights, n_candidates
        self.n_solves = 0
        self.selected = greedy_start(cost, weights, n_selected)
        self.solution = self._solve(self.selected)

    @property
    def value(self):
        return self.solution.value

    def _solve(self, rows):
        self.n_solves += 1
        masses = np.full(len(rows), 1 / len(rows))
        return transport_plan(masses, self.weights, self.cost[rows], who=WHO)

    def step(self):
        """Exchange a row that lowers the value; return whether one was found."""
        n_selected = len(self.selected)
        if n_selected == 1 or n_selected == len(self.cost):  # the best already
            return False
        least = self.value - IMPROVEMENT * max(1.0, abs(self.value))
        lowest = _LowestCosts(self.cost, self.selected, self.solution.u)
        places, outsiders = self._candidates(lowest)
        bounds = self._bounds(lowest, places, outsiders)
        pairs = [axis.ravel() for axis in np.indices(bounds.shape)]
        leaving, entering = self.selected[places[pairs[0]]], outsiders[pairs[1]]
        for pair in np.lexsort((entering, leaving, bounds.ravel())):
            if bounds.flat[pair] >= least:  # nor does any later pair gain
                return False
            rows = self.selected.copy()
            rows[places[pairs[0][pair]]] = entering[pair]
            solution = self._solve(rows)
            if solution.value < least:
                self.selected, self.solution = rows, solution
                return True
        return False

    def _candidates(self, lowest):
        """Places of the most expendable rows, and the most promising outsiders."""
        scores = _scores(self.cost, self.weights, self.selected, lowest)
        outsiders = np.setdiff1d(np.arange(len(self.cost)), self.selected)
        promising = np.argsort(scores[outsiders], kind="stable")[: self.n_candidates]
        expendable = np.lexsort((self.selected, -scores[self.selected]))
        return expendable[: self.n_candidates], outsiders[promising]

    def _bounds(self, lowest, places, outsiders):
        """Lower bounds of the value after each exchange, by weak duality."""
        n_selected, u = len(self.selected), self.solution.u
        entering = self.cost[outsiders]
        bounds = np.empty((len(places), len(outsiders)))
        for row, place in zip(bounds, places, strict=True):
            others = lowest.without(place)
            row[:] = _dual_gains(entering - others, self.weights, n_selected)
            row += (u.sum() - u[place]) / n_selected + others @ self.weights
        return bounds
