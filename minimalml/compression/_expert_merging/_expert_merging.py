"""Merge the experts of a trained mixture into fewer, by hints of its routers.

Li, Zhang, Yadav, Sung, Cheng, Bansal, Chen, "Merge, Then Compress", ICLR
2024. arXiv:2310.01334
"""

import numpy as np

from minimalml._core.arrays import to_numpy
from minimalml._core.validation import StrOptions
from minimalml.compression._expert_merging._decomposition import stable_rank
from minimalml.compression._expert_merging._expert_groups import (
    allocate_groups,
    expert_similarity,
    group_experts,
)
from minimalml.compression._expert_merging._expert_method import (
    EPOCHS,
    POSITIVE,
    ExpertMethod,
    document_method,
)
from minimalml.compression._expert_merging._expert_weights import merge_experts
from minimalml.compression._expert_merging._mixture_parts import expert_weights


@document_method
class ExpertMerger(ExpertMethod):
    """Merge the experts of a mixture into fewer, and train it shortly by the full one.

    For mixtures that exist already: a mixture trained with few experts from the start is
    often as good. Without fine-tuning it loses much. Takes a pass over the rows, an
    assignment for each expert, and the fine-tuning. Needs torch.

    Parameters
    ----------
    estimator : estimator, default=None
        A `MixtureOfExpertsClassifier`, or a pipeline, search or other meta-estimator
        around one. None is ``MixtureOfExpertsClassifier()``. It is never changed.

    n_experts : int, default=4
        Experts that are left, a layer on average. With as many as there are, predictions
        stay as they are, and nothing is trained.

    scope : {"global", "layer"}, default="global"
        Whether layers share ``n_experts`` times their number by how often their experts
        are chosen, or each gets ``n_experts``.

    align : bool, default=True
        Whether hidden units are brought into the same order before they are averaged;
        False is a baseline.

    weighting : {"frequency", "uniform"}, default="frequency"
        Whether an expert counts for how often it is chosen, or all equally.

    fine_tune_epochs : int, default=5
        Passes over the rows afterwards, with the routers fixed.

    Attributes
    ----------
    estimator_ : estimator
        A copy of the mixture with fewer experts. Its routers have as many outputs as
        before; ``module_.layers[l].expert_of`` says which expert each stands for.

    teacher_ : estimator
        The full mixture: the one given, if it was fitted.

    labels_ : list of ndarray of int of shape (n_experts_before,)
        By layer, the new expert that each one went into.

    dominant_experts_ : list of ndarray of int of shape (n_experts_[l],)
        By layer, the expert that each new one is built around.

    frequencies_ : list of ndarray of shape (n_experts_before,)
        By layer, how often each expert was chosen.

    similarities_ : list of ndarray of shape (n_experts_before, n_experts_before)
        By layer, `expert_similarity` of the router's outputs.

    n_experts_ : ndarray of int of shape (n_layers,)
        Experts of each layer.

    stable_rank_ : dict
        "before" and "after" merging, of "w_in" and "w_out": `stable_rank` of the
        matrices, the mean over experts and layers.

    See Also
    --------
    ExpertCompressor : Smaller experts; takes an ExpertMerger.
    merge_experts : The merge alone, of any model's experts.

    Notes
    -----
    The most frequent experts are dominant; the others join the one whose router logits
    are the most similar. Each is reordered to match its dominant expert, which changes
    nothing that it computes, and the group is averaged with frequencies as weights.
    A merged mixture can be merged again: an expert then counts for all outputs that it
    stands for, and is compared by its most frequent one.

    References
    ----------
    .. [1] P. Li, Z. Zhang, P. Yadav, Y.-L. Sung, Y. Cheng, M. Bansal, T. Chen, "Merge,
       Then Compress", ICLR 2024. arXiv:2310.01334

    Examples
    --------
    >>> from minimalml.compression import ExpertMerger, MixtureOfExpertsClassifier
    >>> from minimalml.datasets import make_expert_families
    >>> X, y = make_expert_families(600, random_state=0)
    >>> mixture = MixtureOfExpertsClassifier(12, max_epochs=15, random_state=0)
    >>> merger = ExpertMerger(mixture.fit(X, y), n_experts=4, random_state=0).fit(X, y)
    >>> merger.n_experts_, mixture.score(X, y) - merger.score(X, y) < 0.1
    (array([4]), True)
    """

    _parameter_constraints = {
        **ExpertMethod._parameter_constraints,
        "n_experts": [POSITIVE],
        "scope": [StrOptions({"global", "layer"})],
        "align": ["boolean"],
        "weighting": [StrOptions({"frequency", "uniform"})],
        "fine_tune_epochs": [EPOCHS],
    }
    _epochs_parameter = "fine_tune_epochs"
    _needs_rows = True

    def __init__(
        self,
        estimator=None,
        *,
        n_experts=4,
        scope="global",
        align=True,
        weighting="frequency",
        fine_tune_epochs=5,
        distillation_weight=0.2,
        temperature=2.0,
        learning_rate=1e-3,
        batch_size="auto",
        prefit="auto",
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_experts = n_experts
        self.scope = scope
        self.align = align
        self.weighting = weighting
        self.fine_tune_epochs = fine_tune_epochs
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.prefit = prefit
        self.random_state = random_state
        self.verbose = verbose

    def _change(self, mixture, columns):
        """Merge the experts of each layer; None if all stay."""
        from minimalml.compression._expert_merging._distillation_torch import (
            replace_experts,
        )

        before, layers = expert_weights(mixture), mixture.module_.layers
        self._measure(mixture, columns)
        n_before = [experts.n_experts for experts in before]
        self.n_experts_ = self._share_out(n_before)
        self.labels_, self.dominant_experts_, after = [], [], []
        for number, (layer, experts) in enumerate(zip(layers, before, strict=True)):
            frequency = self.frequencies_[number]
            labels, dominant = group_experts(
                frequency, self.similarities_[number], self.n_experts_[number]
            )
            merged = merge_experts(
                experts,
                labels,
                frequency=frequency if self.weighting == "frequency" else None,
                dominant=dominant,
                align=self.align,
            )
            replace_experts(layer, merged, labels)
            self.labels_.append(labels)
            self.dominant_experts_.append(dominant)
            after.append(merged)
            if self.verbose:
                counts = f"{experts.n_experts} experts to {merged.n_experts}"
                print(f"[ExpertMerger] layer {number}: {counts}")
        self.stable_rank_ = {
            "before": _mean_stable_ranks(before),
            "after": _mean_stable_ranks(after),
        }
        return None if sum(n_before) == self.n_experts_.sum() else {}

    def _measure(self, mixture, columns):
        """Set frequencies and similarities of the experts that are stored."""
        self.frequencies_, self.similarities_ = [], []
        X, weight = columns["X"], columns["weight"]
        for layer, (frequency, logits) in zip(
            mixture.module_.layers, mixture._routings(X, weight), strict=True
        ):
            expert_of = to_numpy(layer.expert_of)
            order = np.argsort(-frequency, kind="stable")
            first = order[np.unique(expert_of[order], return_index=True)[1]]
            logits = logits[:, first]
            if weight is not None:
                logits = logits * np.sqrt(weight)[:, None]
            self.frequencies_.append(np.bincount(expert_of, frequency))
            self.similarities_.append(expert_similarity(logits))

    def _share_out(self, n_before):
        """Return the number of experts that each layer is left with."""
        n_layers, is_global = len(n_before), self.scope == "global"
        largest = sum(n_before) // n_layers if is_global else min(n_before)
        if self.n_experts > largest:
            raise ValueError(
                f"n_experts must be at most {largest}, the experts of a layer, got "
                f"{self.n_experts}."
            )
        if is_global:
            return allocate_groups(self.frequencies_, self.n_experts * n_layers)
        return np.full(n_layers, self.n_experts)


def _mean_stable_ranks(experts):
    """Return the mean over layers and experts of both matrices' stable ranks."""
    matrices = {
        "w_in": [matrix for layer in experts for matrix in layer.hidden_in[0]],
        "w_out": [matrix for layer in experts for matrix in layer.hidden_out[0]],
    }
    return {
        name: float(np.mean([stable_rank(matrix) for matrix in stack]))
        for name, stack in matrices.items()
    }
