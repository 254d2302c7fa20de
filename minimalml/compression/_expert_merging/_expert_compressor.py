"""Compress each expert's matrices to low rank and a few full rows.

Li, Zhang, Yadav, Sung, Cheng, Bansal, Chen, "Merge, Then Compress", ICLR
2024. arXiv:2310.01334
"""

from sklearn.pipeline import Pipeline

from minimalml._core.models.delegation import inner_model
from minimalml._core.validation import Interval, Real
from minimalml.compression._expert_merging._decomposition import check_rank, decompose
from minimalml.compression._expert_merging._expert_merging import ExpertMerger
from minimalml.compression._expert_merging._expert_method import (
    EPOCHS,
    POSITIVE,
    ExpertMethod,
    document_method,
)
from minimalml.compression._expert_merging._mixture_parts import expert_weights


@document_method
class ExpertCompressor(ExpertMethod):
    """Compress a mixture's experts, best after merging, and train it by the full one.

    Each matrix becomes low rank plus a few full rows. After `ExpertMerger` it takes away
    more at the same accuracy than by itself. Needs torch. Low rank pays in speed only
    where matrices are large.

    Parameters
    ----------
    estimator : estimator, default=None
        A `MixtureOfExpertsClassifier`, an `ExpertMerger`, or a pipeline, search or other
        meta-estimator around one. None is ``MixtureOfExpertsClassifier()``. It is never
        changed. Put a pipeline inside an ExpertMerger rather than around it: the full
        mixture is then known as the teacher.

    rank : int, default=8
        Rank of each matrix, at most its smaller side.

    keep_fraction : float, default=0.1
        Share of the rows, in [0, 1], kept in full besides: of all matrices together, or
        of each, rounded up, where no epochs are trained.

    max_epochs : int, default=10
        Passes over the rows, in which rows are removed step by step and the routers stay
        fixed. 0 needs no rows: what low rank leaves decides.

    Attributes
    ----------
    estimator_ : estimator
        A copy of the mixture with compressed experts.

    teacher_ : estimator
        The full mixture: the one given, if it was fitted, or the ExpertMerger's.

    size_fraction_ : float
        Numbers stored for the experts' matrices, over those before; neither biases nor
        indices of rows are counted.

    See Also
    --------
    ExpertMerger : Fewer experts, to begin with.
    decompose_weight : The same of one matrix.

    Notes
    -----
    A matrix of p x q is ``left @ right + S``, left and right from its truncated singular
    value decomposition. All three are trained, while rows of S are set to zero: those
    with the lowest running mean of ``|S * gradient|``, over all matrices in one ranking,
    down to ``keep_fraction`` of all entries along a cubic schedule. Kept are
    ``rank (p + q)`` numbers and q for each row.

    References
    ----------
    .. [1] P. Li, Z. Zhang, P. Yadav, Y.-L. Sung, Y. Cheng, M. Bansal, T. Chen, "Merge,
       Then Compress", ICLR 2024. arXiv:2310.01334

    Examples
    --------
    >>> from minimalml.compression import (
    ...     ExpertCompressor, ExpertMerger, MixtureOfExpertsClassifier
    ... )
    >>> from minimalml.datasets import make_expert_families
    >>> X, y = make_expert_families(600, random_state=0)
    >>> mixture = MixtureOfExpertsClassifier(12, max_epochs=15, random_state=0)
    >>> merger = ExpertMerger(mixture, n_experts=4, random_state=0).fit(X, y)
    >>> compressor = ExpertCompressor(merger, rank=4, random_state=0).fit(X, y)
    >>> compressor.size_fraction_ < 0.36
    True
    """

    _parameter_constraints = {
        **ExpertMethod._parameter_constraints,
        "rank": [POSITIVE],
        "keep_fraction": [Interval(Real, 0, 1, closed="both")],
        "max_epochs": [EPOCHS],
    }
    _epochs_parameter = "max_epochs"
    _needs_rows = False

    def __init__(
        self,
        estimator=None,
        *,
        rank=8,
        keep_fraction=0.1,
        max_epochs=10,
        distillation_weight=0.2,
        temperature=2.0,
        learning_rate=1e-3,
        batch_size="auto",
        prefit="auto",
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.rank = rank
        self.keep_fraction = keep_fraction
        self.max_epochs = max_epochs
        self.distillation_weight = distillation_weight
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.prefit = prefit
        self.random_state = random_state
        self.verbose = verbose

    def _start_and_teacher(self, model):
        merger = model
        while not isinstance(merger, (ExpertMerger, Pipeline, type(None))):
            merger = inner_model(merger)
        if isinstance(merger, ExpertMerger):
            return merger.estimator_, merger.teacher_
        return model, model

    def _change(self, mixture, columns):
        """Decompose all matrices; with training, which removes rows, all stay at first."""
        from minimalml.compression._expert_merging._distillation_torch import (
            RowRemoval,
            compress_layer,
        )

        keep_fraction = 1.0 if self.max_epochs else self.keep_fraction
        layers, layers_weights = mixture.module_.layers, expert_weights(mixture)
        shape = (
            layers_weights[0].hidden_in[0][0].shape
        )  # that of w_out is its transpose
        check_rank(self.rank, shape, stacklevel=6)  # past fit and its decorators
        for layer, experts in zip(layers, layers_weights, strict=True):
            stacks = {"w_in": experts.hidden_in[0], "w_out": experts.hidden_out[0]}
            for name, stack in stacks.items():
                parts = [decompose(w, self.rank, keep_fraction) for w in stack]
                compress_layer(layer, name, parts)
        if not self.max_epochs:
            return None
        n_steps = self.max_epochs * n_batches(self.batch_size, len(columns["X"]))
        removal = RowRemoval(mixture.module_, self.keep_fraction, n_steps)
        return {"after_step": removal}

    def _finish(self, mixture, options):
        from minimalml.compression._expert_merging._distillation_torch import (
            sizes_of_matrices,
        )

        if options is not None:
            options["after_step"].finish(mixture.module_)
        super()._finish(mixture, options)
        n_stored, n_full = sizes_of_matrices(mixture.module_)
        self.size_fraction_ = n_stored / n_full
        if self.verbose:
            share = f"{self.size_fraction_:.1%} of the experts' numbers"
            print(f"[ExpertCompressor] {n_stored} numbers, {share}")


def n_batches(batch_size, n_rows):
    """Return the steps of an epoch."""
    size = min(200 if batch_size == "auto" else batch_size, n_rows)
    return -(-n_rows // size)
