"""Keep the samples of each batch that are worth a backward pass (UDS).

Utility is the nuclear norm of a sample's logits, diversity its distance to samples kept
lately. Both come from the logits of one forward pass: Zou, Mao, Qu, Wang, Ji, ICML 2026.
"""

from typing import Any, NamedTuple

from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED

from minimalml._core.arrays import array_namespace, to_numpy
from minimalml._core.top_k import top_k_stable
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    validate_data,
)
from minimalml.resampling._sample_selector import (
    BUDGET_CONSTRAINT,
    SampleSelectorMixin,
    number_to_select,
)
from minimalml.resampling._utility_diversity._logits import check_logits
from minimalml.resampling._utility_diversity._memory import BatchMemory, balancing_ratio
from minimalml.resampling._utility_diversity._nuclear_norm import (
    nuclear_norm_of_checked,
)
from minimalml.resampling._utility_diversity._projection import LogitProjection


class SelectedBatch(NamedTuple):
    """What a batch's logits say about its samples.

    Attributes
    ----------
    indices : ndarray or tensor of int of shape (n_selected,)
        The samples to keep, the highest score first.

    scores : ndarray or tensor of shape (n_samples,)
        Utility and weighted diversity; minus infinity for a sample without a position.

    utility : ndarray or tensor of shape (n_samples,)
        Nuclear norms of the logits.

    diversity : ndarray or tensor of shape (n_samples,)
        Mean distances to the samples kept lately; 0 as long as there are none.
    """

    indices: Any
    scores: Any
    utility: Any
    diversity: Any


class UtilityDiversitySelector(SampleSelectorMixin, BaseEstimator):
    """Select the samples of each batch that are worth a backward pass.

    Draw a batch, run it forward, ask ``select`` with the logits, and train on the samples
    that it keeps. For redundant data, above all sequences, when backward passes are dear
    or their number is fixed; labels are not asked, so wrong ones are not chased. With
    one position a sample it prefers confident samples, the contrary of uncertainty
    sampling. A batch takes O(B V (N min(N, V) + N d2 + d1 d2)) time, and O(B M d1 d2) for
    the distances to M kept samples, of which it holds M d1 d2 numbers.

    Parameters
    ----------
    n_samples_to_select : int or float, default=0.25
        Samples to keep of a batch: a count, or a fraction in (0, 1], rounded up. Batches
        with fewer samples are kept whole.

    diversity_weight : float, default=0.1
        At least 0. How much diversity counts beside utility; 0: not at all.

    balance : bool, default=True
        Whether diversity is first brought to the standard deviation of utility, both over
        all samples since the start, which frees the weight from units.

    projection : {"srft", "none"}, default="srft"
        How logits are pressed before distances are taken: by a subsampled randomised
        Fourier (Hartley) transform over positions and classes, or not at all.

    n_components : tuple of two int, or int, default=(8, 128)
        Positions and classes (d2, d1) that logits are pressed to; a side that has no more
        stays as it is. One number holds for both.

    buffer_size : int, default=1024
        Kept samples that are remembered, the latest ones.

    random_state : int, RandomState instance or None, default=None
        For the projection, drawn once, at the first batch.

    Attributes
    ----------
    buffer_ : ndarray or tensor of shape (n_remembered, n_components)
        Projected logits of the kept samples that are remembered, the oldest first. A copy.

    n_seen_ : int
        Number of samples that ``select`` was shown since the start.

    n_selected_ : int
        Number of those that it kept.

    sample_indices_ : ndarray of int of shape (n_selected,)
        What ``fit`` selected, the highest score first.

    n_samples_in_ : int
        Number of samples that ``fit`` saw.

    n_features_in_ : int
        Second dimension of the logits that ``fit`` saw.

    feature_names_in_ : ndarray of str of shape (n_features_in_,)
        Names of the columns, if the logits that ``fit`` saw had names.

    See Also
    --------
    OnlineBatchClassifier : Train any classifier that has ``partial_fit`` on such samples.
    nuclear_norm : The utility.

    Notes
    -----
    The score is ``s_i = |L_i|_* + w r mean_q |z_i - q|_2`` with logits L_i, their
    projection z_i and the remembered projections q. With ``balance=True`` r is the ratio of
    the standard deviations of both terms over all that ``select`` has scored, this batch
    included, and 1 as long as one of them is 0.

    A count, ``diversity_weight`` and ``balance`` may change from batch to batch; the
    projection and ``buffer_size`` hold until ``fit``. A pickle goes on where it was.

    References
    ----------
    .. [1] H. Zou et al., "Utility-Diversity Aware Online Batch Selection for LLM
       Supervised Fine-tuning", ICML 2026. arXiv:2510.16882

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.resampling import UtilityDiversitySelector
    >>> rng = np.random.default_rng(0)
    >>> selector = UtilityDiversitySelector(3, random_state=0)
    >>> for _ in range(10):
    ...     logits = rng.normal(size=(16, 12, 20))  # of your model: samples, positions, classes
    ...     kept = selector.select(logits).indices  # go on with these samples
    >>> kept.shape, selector.n_seen_, selector.n_selected_, selector.buffer_.shape
    ((3,), 160, 30, (30, 160))
    """

    # a batch's logits stand where others have X
    __metadata_request__fit = {"logits": UNUSED}

    _parameter_constraints = {
        "n_samples_to_select": BUDGET_CONSTRAINT,
        "diversity_weight": [Interval(Real, 0, None, closed="left")],
        "balance": ["boolean"],
        "projection": [StrOptions({"srft", "none"})],
        "n_components": [tuple, list, Interval(Integral, 1, None, closed="left")],
        "buffer_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_samples_to_select=0.25,
        *,
        diversity_weight=0.1,
        balance=True,
        projection="srft",
        n_components=(8, 128),
        buffer_size=1024,
        random_state=None,
    ):
        self.n_samples_to_select = n_samples_to_select
        self.diversity_weight = diversity_weight
        self.balance = balance
        self.projection = projection
        self.n_components = n_components
        self.buffer_size = buffer_size
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def select(self, logits, *, mask=None):
        """Say which samples of a batch to keep, and remember them.

        Parameters
        ----------
        logits : array-like or tensor of shape (n_samples, n_positions, n_classes) or \
                (n_samples, n_classes)
            Logits of the batch; two dimensions mean one position. A tensor stays on its
            device. The first batch fixes the classes and the largest number of positions.

        mask : array-like or tensor of bool of shape (n_samples, n_positions), default=None
            True where a position is real.

        Returns
        -------
        SelectedBatch
            ``indices``, ``scores``, ``utility`` and ``diversity``.

        Raises
        ------
        ValueError
            If logits are not finite, the mask does not fit, or the shape is not that of
            the batches before.
        """
        logits, mask = check_logits(logits, mask)
        memory = self._memory_for(logits) or self._start(logits)
        batch, projected, spreads = self._score(logits, mask, memory)
        memory.utility_spread, memory.diversity_spread = spreads
        memory.push(projected[batch.indices])
        self.n_seen_ += len(logits)
        self.n_selected_ += len(batch.indices)
        return batch

    @_fit_context(prefer_skip_nested_validation=True)
    def score_batch(self, logits, *, mask=None):
        """Say what ``select`` would, and remember nothing.

        Parameters
        ----------
        logits : array-like or tensor of shape (n_samples, n_positions, n_classes) or \
                (n_samples, n_classes)
            Logits of the batch.

        mask : array-like or tensor of bool of shape (n_samples, n_positions), default=None
            True where a position is real.

        Returns
        -------
        SelectedBatch
            ``indices``, ``scores``, ``utility`` and ``diversity``.

        Raises
        ------
        ValueError
            As ``select`` does.
        """
        logits, mask = check_logits(logits, mask)
        return self._score(logits, mask, self._memory_for(logits))[0]

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, logits, y=None):
        """Forget everything and select from one batch.

        Parameters
        ----------
        logits : array-like or tensor of shape (n_samples, n_positions, n_classes) or \
                (n_samples, n_classes)
            Logits of the batch.

        y : None
            Ignored.

        Returns
        -------
        self : UtilityDiversitySelector
        """
        checked, _ = check_logits(logits)
        validate_data(self, logits, skip_check_array=True)
        self.n_samples_in_ = len(checked)
        self._memory = None
        self.sample_indices_ = to_numpy(self.select(checked).indices)
        return self

    @property
    def buffer_(self):
        """Projected logits of remembered samples, the oldest first."""
        if getattr(self, "_memory", None) is None:
            raise AttributeError("buffer_ is available after select or fit.")
        return self._memory.ordered()

    def _memory_for(self, logits):
        """Return the memory, where logits are, if these go with it; None at the start."""
        memory = getattr(self, "_memory", None)
        if memory is None:
            return None
        n_positions, n_classes = logits.shape[1:]
        known = memory.projection
        if n_classes != known.n_classes or n_positions > known.n_positions:
            raise ValueError(
                f"logits have {n_positions} positions and {n_classes} classes, but the "
                f"first batch had {known.n_positions} and {known.n_classes}: classes must "
                "stay the same, positions may only be fewer. Call fit to start anew."
            )
        memory.move_to(logits)
        return memory

    def _start(self, logits):
        shape = logits.shape[1:]
        projection = LogitProjection(*shape)
        if self.projection == "srft":
            rng = check_random_state(self.random_state)
            projection = LogitProjection.draw(*shape, self._check_components(), rng)
        self._memory = BatchMemory(projection, self.buffer_size, logits)
        self.n_seen_ = self.n_selected_ = 0
        return self._memory

    def _check_components(self):
        sizes = self.n_components
        if isinstance(sizes, Integral):
            return sizes, sizes
        if len(sizes) != 2 or not all(
            isinstance(n, Integral) and n >= 1 for n in sizes
        ):
            raise ValueError(
                "n_components must be two integers of at least 1, of positions and of "
                f"classes, got {sizes!r}."
            )
        return sizes

    def _score(self, logits, mask, memory):
        """Return the SelectedBatch, projected samples and the spreads afterwards."""
        xp, n_samples = array_namespace(logits), len(logits)
        utility = nuclear_norm_of_checked(logits)
        is_real = xp.isfinite(utility) if mask is None else mask.any(1)
        projected, diversity, spreads, ratio = None, utility * 0, None, 1
        if memory is not None:
            projected = memory.projection(logits)
            diversity = memory.mean_distances(projected)
            spreads = memory.spreads_with(utility, diversity, is_real)
            ratio = balancing_ratio(*spreads) if self.balance else 1
        scores = utility + self.diversity_weight * ratio * diversity
        scores = xp.where(is_real, scores, -xp.inf)
        count = self.n_samples_to_select
        count = min(count, n_samples) if isinstance(count, Integral) else count
        kept = top_k_stable(scores, number_to_select(count, n_samples))
        return SelectedBatch(kept, scores, utility, diversity), projected, spreads

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
