"""Belief propagation for bags of which the share of positive rows is known.

Havaldar, Sharma, Sareen, Shanmugam, Raghuveer, Learning from label proportions:
bootstrapping supervised learners via belief propagation, ICLR 2024. Their pairs of rows
within a bag are one factor a bag here, of its count, whose messages are exact.
"""

import warnings
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, triu
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, column_or_1d

from minimalml._core.groups import GroupIndex, sort_codes
from minimalml._core.threads import effective_n_threads, for_each_chunk
from minimalml._core.validation import Integral, Interval, Real, validate_params
from minimalml.bags._bag_estimator import check_proportions
from minimalml.bags._label_proportions._label_beliefs import (
    add_up,
    send_along_edges,
    send_from_bags,
)

PROPAGATION_CONSTRAINTS = {
    "similarity_strength": [Interval(Real, 0, None, closed="left")],
    "bag_strength": [Interval(Real, 0, None, closed="both")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "damping": [Interval(Real, 0, 1, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
}
# Log-odds beyond which a row is as good as known; `MOST` of the kernel.
MOST = 50.0
# One edge and one row of a bag, times the root of its size, on one thread.
SECONDS_PER_EDGE = 1e-7
SECONDS_PER_COUNT = 1e-7
CHUNK_SECONDS = 5e-4
# What a share times the size of its bag may be off a whole number.
COUNT_TOLERANCE = 1e-3


class LabelBeliefs(NamedTuple):
    """What `propagate_label_proportions` returns.

    Attributes
    ----------
    probability : ndarray of shape (n_samples,)
        Of being positive.

    log_odds : ndarray of shape (n_samples,)
        The same as log-odds.

    n_iter : int
        Steps that were made.

    converged : bool
        Whether the last step changed no message by ``tol`` or more.

    largest_change : float
        Largest undamped change of a message in the last step.
    """

    probability: np.ndarray
    log_odds: np.ndarray
    n_iter: int
    converged: bool
    largest_change: float


@validate_params(PROPAGATION_CONSTRAINTS, prefer_skip_nested_validation=True)
def propagate_label_proportions(
    similarity,
    y,
    bags=None,
    *,
    similarity_strength=1.5,
    bag_strength=np.inf,
    prior=None,
    max_iter=200,
    damping=0.5,
    tol=1e-3,
):
    r"""Find out which rows are the positive ones, from the shares of their bags.

    Similar rows should agree, and every bag holds its count of positives; belief
    propagation on the graph of both gives each row a probability. A step takes
    O(edges + Σ B √B) time for bags of B rows; memory is linear in rows and edges.

    Parameters
    ----------
    similarity : sparse array or array-like of shape (n_samples, n_samples)
        Symmetric weights of at least 0, such as those of `similarity_graph`. The
        diagonal does not count.

    y : array-like of shape (n_samples,)
        The share of positive rows in its bag on each row, from 0 to 1.

    bags : array-like of shape (n_samples,), default=None
        The id of each row's bag. None makes each row a bag.

    similarity_strength : float, default=1.5
        What a weight of 1 takes from the log-probability of two rows that differ.

    bag_strength : float, default=inf
        What a count that is one off takes; off by two, four times that. At inf counts
        hold exactly and are rounded to whole numbers.

    prior : array-like of shape (n_samples,), default=None
        What is known of each row beforehand, as log-odds; ±50 is the label of a row,
        and larger ones are taken as such. It can't overrule a bag of share 0 or 1.

    max_iter : int, default=200
        Largest number of steps.

    damping : float, default=0.5
        What a message keeps of its old value in a step, in [0, 1).

    tol : float, default=1e-3
        Changes of messages, in log-odds, below which it ends.

    Returns
    -------
    LabelBeliefs
        ``probability``, ``log_odds``, ``n_iter``, ``converged``, ``largest_change``.

    Raises
    ------
    ValueError
        If weights are negative or not symmetric, a share is outside [0, 1] or varies in
        a bag, lengths differ, or a parameter is out of its range.

    Warns
    -----
    UserWarning
        If counts have to be rounded by more than 0.001.
    ConvergenceWarning
        If messages still change after ``max_iter`` steps.

    Notes
    -----
    The labels have the distribution

    .. math:: p(y) \propto \exp\Big(\sum_i h_i y_i - \lambda_s \sum_{i<j} w_{ij}
        [y_i \ne y_j] - \lambda_b \sum_a \big(\sum_{i \in a} y_i - c_a\big)^2\Big)

    with priors h, weights w, the strengths λ and the counts c. Probabilities are exact
    where the graph of rows and bags has no cycle, and good approximations elsewhere.
    They don't depend on the number of threads.

    Examples
    --------
    The first row is positive; so is its neighbour, and the others of both bags are not:

    >>> import numpy as np
    >>> from minimalml.bags import propagate_label_proportions
    >>> similarity = np.zeros((4, 4))
    >>> similarity[0, 2] = similarity[2, 0] = 1.0
    >>> beliefs = propagate_label_proportions(
    ...     similarity, [0.5] * 4, bags=[0, 0, 1, 1], prior=[50.0, 0, 0, 0]
    ... )
    >>> beliefs.probability.round(2)
    array([1.  , 0.  , 0.82, 0.18])
    """
    y = check_array(column_or_1d(y), ensure_2d=False, dtype=None, input_name="y")
    index = GroupIndex(bags, len(y))
    propagation = Propagation(
        _check_similarity(similarity, len(y)),
        index,
        check_proportions(y, index),
        similarity_strength=similarity_strength,
        bag_strength=bag_strength,
        prior=_check_prior(prior, len(y)),
    )
    return propagation.run(max_iter, damping, tol)


def _check_similarity(similarity, n_rows):
    """Return weights as a CSR array of floats."""
    similarity = csr_array(
        check_array(
            similarity, accept_sparse="csr", dtype=np.float64, input_name="similarity"
        )
    )
    if similarity.shape != (n_rows, n_rows):
        raise ValueError(
            f"similarity must have shape ({n_rows}, {n_rows}), a row and a column for "
            f"each of y, got {similarity.shape}."
        )
    if similarity.nnz and similarity.data.min() < 0:
        raise ValueError(
            f"similarity must be at least 0, got {similarity.data.min():g}."
        )
    asymmetry = abs(similarity - similarity.T)
    if asymmetry.nnz and asymmetry.data.max() > 1e-10:
        raise ValueError(
            "similarity must be symmetric, but some weight differs from the one across "
            f"the diagonal by {asymmetry.data.max():g}: similarity.maximum(similarity.T) "
            "is."
        )
    return similarity


def _check_prior(prior, n_rows):
    """Return log-odds within ±50, or None."""
    if prior is None:
        return None
    prior = column_or_1d(prior, dtype=np.float64)
    if len(prior) != n_rows or np.isnan(prior).any():
        raise ValueError(
            f"prior must hold a number for each of {n_rows} rows, got {len(prior)} "
            f"values, {np.isnan(prior).sum()} of them NaN."
        )
    return prior.clip(-MOST, MOST)


class Propagation:
    """Where belief propagation is: the messages, and what they say of each row.

    Parameters
    ----------
    similarity : csr_array of shape (n_rows, n_rows)
        Checked weights.

    index : GroupIndex
        The bags.

    shares : ndarray of shape (n_bags,)
        Checked shares of positive rows.

    similarity_strength, bag_strength, prior
        As in `propagate_label_proportions`.

    Attributes
    ----------
    log_odds : ndarray of shape (n_rows,)
        What each row believes.

    counts : ndarray of shape (n_bags,)
        Positive rows of each bag, whole numbers where they hold exactly.
    """

    def __init__(
        self,
        similarity,
        index,
        shares,
        *,
        similarity_strength,
        bag_strength,
        prior=None,
    ):
        n_rows = len(index.codes)
        self.index, self.bag_strength = index, float(bag_strength)
        self.counts = shares * index.sizes
        is_known = np.zeros(n_rows, dtype=np.uint8)
        self.prior = np.zeros(n_rows) if prior is None else prior
        if bag_strength == np.inf:
            self.counts = whole_counts(self.counts, index)
            is_known[:] = index.expand(is_pure(self.counts, index))
        self.is_known = is_known
        self._connect(triu(similarity, k=1, format="coo"), similarity_strength, n_rows)
        signs = 2.0 * index.expand(self.counts > 0) - 1.0
        self.log_odds = np.where(is_known, MOST * signs, self.prior)
        self.without_bag = self.prior.copy()
        self.bag_messages = np.zeros(n_rows)
        seconds = np.cumsum(index.sizes**1.5) * SECONDS_PER_COUNT
        starts = np.arange(0.0, seconds[-1], CHUNK_SECONDS)
        self.bag_bounds = np.unique([*np.searchsorted(seconds, starts), len(index)])
        self.bag_seconds = seconds[-1]

    def _connect(self, upper, strength, n_rows):
        """List the edges, and which messages each row gets."""
        self.edges = np.column_stack(upper.coords).astype(np.intp)
        self.decays = np.exp(-strength * upper.data)
        self.messages = np.zeros((len(self.edges), 2))
        ends = self.edges.ravel()
        sizes = np.bincount(ends, minlength=n_rows)
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        self.incoming = np.empty(len(ends), dtype=np.intp)
        sort_codes(ends, self.offsets[:-1].copy(), self.incoming)

    def run(self, max_iter=200, damping=0.5, tol=1e-3, task=None):
        """Take steps until messages settle, or callbacks of the `FitTask` ask to stop."""
        n_iter, change, is_stopped = 0, np.inf, False
        while n_iter < max_iter and change >= tol and not is_stopped:
            with nullcontext() if task is None else task.step("propagation"):
                change = self.step(damping)
            n_iter += 1
            is_stopped = task is not None and task.is_stopped
        if change >= tol and not is_stopped:
            warnings.warn(
                f"Belief propagation did not converge in max_iter={max_iter} steps: a "
                f"message still changes by {change:.2g}, tol is {tol:g}. Raise max_iter or "
                "damping, or lower similarity_strength.",
                ConvergenceWarning,
                stacklevel=3,
            )
        probability = expit(self.log_odds)
        return LabelBeliefs(probability, self.log_odds, n_iter, change < tol, change)

    def step(self, damping):
        """Send all messages once, and return the largest change."""
        changes = [0.0]

        def send(start, stop):
            arrays = self.edges, self.decays, self.log_odds, self.is_known
            changes.append(
                send_along_edges(*arrays, self.messages, damping, start, stop)
            )

        chunk_size = round(CHUNK_SECONDS / SECONDS_PER_EDGE)
        n_threads = effective_n_threads(len(self.edges), SECONDS_PER_EDGE)
        for_each_chunk(
            send, len(self.edges), chunk_size=chunk_size, n_threads=n_threads
        )
        if self.bag_strength > 0:
            changes.append(self._send_from_bags(damping))
        self._add_up()
        return max(changes)

    def _send_from_bags(self, damping):
        index, bounds, changes = self.index, self.bag_bounds, [0.0]
        largest = index.sizes.max()

        def send(chunk, next_chunk):
            changes.append(
                send_from_bags(
                    index.order, index.offsets, self.counts, self.bag_strength,
                    self.without_bag, self.is_known, self.bag_messages, damping,
                    np.empty((6, largest + 4)), bounds[chunk], bounds[next_chunk],
                )
            )  # fmt: skip

        n_threads = effective_n_threads(1, self.bag_seconds)
        for_each_chunk(send, len(bounds) - 1, chunk_size=1, n_threads=n_threads)
        return max(changes)

    def _add_up(self):
        def add(start, stop):
            add_up(
                self.prior, self.messages, self.incoming, self.offsets,
                self.bag_messages, self.is_known, self.without_bag, self.log_odds,
                start, stop,
            )  # fmt: skip

        n_rows = len(self.log_odds)
        n_threads = effective_n_threads(n_rows, SECONDS_PER_EDGE)
        chunk_size = round(CHUNK_SECONDS / SECONDS_PER_EDGE)
        for_each_chunk(add, n_rows, chunk_size=chunk_size, n_threads=n_threads)


def whole_counts(counts, index):
    """Return counts rounded, and say which bag is furthest from a whole number."""
    rounded = np.rint(counts)
    errors = np.abs(counts - rounded)
    worst = errors.argmax()
    if errors[worst] > COUNT_TOLERANCE:
        warnings.warn(
            f"Counts of positive rows are rounded to whole numbers, but bag "
            f"{index.ids[worst]!s} has a count of {counts[worst]:.6g}. A finite "
            "bag_strength takes counts as they are.",
            UserWarning,
            stacklevel=4,
        )
    return rounded


def is_pure(counts, index):
    """Whether all rows of a bag have the same label."""
    return (counts == 0) | (counts == index.sizes)
