"""The one order of candidates that all draws share: by group, then by label."""

from typing import NamedTuple

from minimalml._core.arrays import array_namespace
from minimalml.resampling._c_mixup._partner_draws import Candidates, Queries, on_device


class CandidateOrder(NamedTuple):
    """Where each row stands among the candidates.

    Attributes
    ----------
    candidates : Candidates
        The rows of positive weight, in order.
    position : array of shape (n_samples,)
        A row's own position; of a row without weight, the one it would have.
    has_weight : array of bool of shape (n_samples,) or None
        None stands for all rows.
    codes : array of shape (n_samples,) or None
        Group of each row; None stands for a single group.
    """

    candidates: Candidates
    position: object
    has_weight: object
    codes: object

    def queries(self, rows, exclude_self):
        """Return where the candidates of each of ``rows`` lie."""
        left_stop = self.position[rows]
        right_start = left_stop
        if exclude_self and self.has_weight is None:
            right_start = left_stop + 1
        elif exclude_self:
            right_start = left_stop + 1 * self.has_weight[rows]
        xp = array_namespace(rows)
        segment = xp.zeros_like(rows) if self.codes is None else self.codes[rows]
        return Queries(rows, segment, left_stop, right_start)


def order_candidates(n_samples, labels, weights, codes, like):
    """Sort the rows by group, then by label; those without weight are no candidates.

    Parameters
    ----------
    n_samples : int

    labels : array of shape (n_samples,) or None
        The single column that the kernel sees, if it sees a single one.

    weights : array of shape (n_samples,) or None

    codes : array of shape (n_samples,) or None

    like : array
        Any array of the kind, and on the device, of the others.

    Returns
    -------
    CandidateOrder
    """
    xp = array_namespace(like)
    if labels is None:
        order = xp.arange(n_samples, **on_device(like))
    else:
        order = xp.argsort(labels, stable=True)
    if codes is not None:
        order = order[xp.argsort(codes[order], stable=True)]
    position, has_weight = xp.empty_like(order), None
    if weights is None:
        rows, prefix = order, None
        position[order] = xp.arange(n_samples, **on_device(like))
    else:
        has_weight = weights > 0
        counted = has_weight[order]
        position[order] = xp.cumsum(counted, 0) - 1 * counted
        rows = order[counted]
        weights = weights[rows]
        prefix = xp.concat([weights[:1] * 0, xp.cumsum(weights, 0)])
    in_group = xp.zeros_like(rows) if codes is None else codes[rows]
    n_groups = 1 if codes is None else int(codes.max()) + 1
    sizes = xp.bincount(in_group, minlength=n_groups)
    offsets = xp.concat([sizes[:1] * 0, xp.cumsum(sizes, 0)])
    sorted_y = None if labels is None else labels[rows]
    candidates = Candidates(rows, weights, sorted_y, prefix, offsets)
    return CandidateOrder(candidates, position, has_weight, codes)
