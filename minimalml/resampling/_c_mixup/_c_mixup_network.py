"""A network that trains on pairs of rows with close labels (Yao et al., NeurIPS 2022).

C-Mixup on the fly: new partners and new lambdas in every epoch, in the inputs or after
any block of the network.
"""

import math
from numbers import Integral

import numpy as np
from sklearn.utils import check_consistent_length, check_random_state

from minimalml._core.callbacks import with_callbacks
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import weighted_mean
from minimalml._core.training.network import NetworkRegressor
from minimalml._core.validation import Interval, StrOptions, _fit_context
from minimalml.resampling._c_mixup._candidates import group_codes
from minimalml.resampling._c_mixup._documentation import document_mixing
from minimalml.resampling._c_mixup._mixing import MIXING_CONSTRAINTS
from minimalml.resampling._c_mixup._network_mixing import EpochMixer, HiddenMixer
from minimalml.resampling._c_mixup._target_kernel import (
    SAMPLER_CONSTRAINTS,
    TargetKernelSampler,
)


@document_mixing
@document_training
class CMixupMLPRegressor(NetworkRegressor):
    """Train a network on mixed rows, partners drawn by the closeness of labels.

    For regression with few rows, or where the data shift between training and use:
    rows of one label and different surroundings are mixed, which makes the surroundings
    useless to the network. On small clean tables it seldom beats ``mixup=None``: search
    over both. The paper's network and recipe are the defaults. Needs torch.

    Parameters
    ----------
    module : torch.nn.Module, callable or None, default=None
        A network of your own: an instance, which is copied, or a class or function
        called with ``n_features`` and ``n_outputs``, importable to be pickled. It needs
        ``blocks``, a ``torch.nn.ModuleList``, to mix behind one of them.

    mixup : {"c-mixup", "mixup"} or None, default="c-mixup"
        "mixup" draws partners regardless of labels, None trains on the rows themselves.

    mix_layer : int or "random", default=0
        What is mixed: 0 the inputs, k what comes out of block k, "random" any of these,
        drawn for each batch.

    batch_partners : bool, default=False
        Whether partners come from the batch itself and a second random one only: for
        rows so many that their labels can't be compared.

    bandwidth : float, default=0.5
        Width of the kernel of labels, in standard deviations of the target. Search over
        0.05 to 2; infinity is plain mixup.

    early_stopping : bool, default=False
        Whether to keep rows for validation (unmixed), stop when their score stops
        rising, and return to the best epoch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network; it predicts the standardised targets.

    loss_, best_loss_ : float
        Training loss of the last epoch, and the lowest of all, on mixed rows.

    best_validation_score_ : float or None
        The best R² on the validation rows; None without early stopping.

    t_ : int
        Training rows seen since the network was made.

    n_layers_, out_activation_ : int or None, str
        Blocks of the network, plus input and output, None without ``blocks``; and
        "identity".

    See Also
    --------
    CMixupRegressor : The same idea around any regressor, on rows mixed once.

    Notes
    -----
    Row i gets row j as partner with probability ~ ``w_j exp(-(y_i - y_j)^2 / (2 h^2))``
    and both are replaced by ``lambda x_i + (1 - lambda) x_j`` and the same of y. Weights
    count like repeated rows: w_i weighs the loss, w_j the draw. Rows of weight 0 are left
    out. Partners come from all training rows, in O(log n) each for a single target; an
    epoch costs little more than without mixing, twice the blocks before ``mix_layer``
    where that is above 0. Scale the features, as for any network.

    References
    ----------
    .. [1] H. Yao, Y. Wang, L. Zhang, J. Zou, C. Finn, "C-Mixup: Improving
       Generalization in Regression", NeurIPS 2022. arXiv:2210.05775

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from minimalml.resampling import CMixupMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True, scaled=True)
    >>> model = CMixupMLPRegressor((16,), max_epochs=10, random_state=0)
    >>> model.fit(X * 20, y).score(X * 20, y) > 0.4
    True
    """

    _parameter_constraints = {
        **NetworkRegressor._parameter_constraints,
        **MIXING_CONSTRAINTS,
        **{name: SAMPLER_CONSTRAINTS[name] for name in ("bandwidth", "kernel")},
        "mixup": [StrOptions({"c-mixup", "mixup"}), None],
        "mix_layer": [Interval(Integral, 0, None, closed="left"), StrOptions({"random"})],
        "batch_partners": ["boolean"],
    }  # fmt: skip

    def __init__(
        self,
        hidden_layer_sizes=(128, 128),
        *,
        activation="leaky_relu",
        module=None,
        mixup="c-mixup",
        mix_layer=0,
        alpha=2.0,
        lambda_per="batch",
        batch_partners=False,
        bandwidth=0.5,
        kernel="gaussian",
        max_epochs=100,
        batch_size=16,
        learning_rate=1e-2,
        weight_decay=0.0,
        early_stopping=False,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
        training=None,
    ):
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            module=module,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            device=device,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            training=training,
        )
        self.mixup = mixup
        self.mix_layer = mix_layer
        self.alpha = alpha
        self.lambda_per = lambda_per
        self.batch_partners = batch_partners
        self.bandwidth = bandwidth
        self.kernel = kernel

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Train the network on mixed rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs, scaled.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Counts like repetition of rows.

        groups : array-like of shape (n_samples,), default=None
            Partners come from the row's own group only.

        Returns
        -------
        self : CMixupMLPRegressor

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If the network has no block ``mix_layer``, or the loss is not finite after
            the first epoch.
        """
        return self._fit_groups(X, y, sample_weight, groups, partial=False)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, groups=None):
        """Train for one epoch on some rows, going on from the present network.

        The first call sets the scales of the targets; partners come from the rows of
        the call.

        Parameters
        ----------
        X, y, sample_weight, groups
            As in `fit`.

        Returns
        -------
        self : CMixupMLPRegressor
        """
        return self._fit_groups(X, y, sample_weight, groups, partial=True)

    def _fit_groups(self, X, y, sample_weight, groups, partial):
        check_consistent_length(X, groups)
        return self._fit_rows(
            X, y, sample_weight, is_new=not self._continues(partial), partial=partial,
            groups=group_codes(groups),
        )  # fmt: skip

    def _fit_network(self, columns, X, y, *, partial=False, **options):
        columns, X, y = _drop_weightless(columns, X, y)
        groups = columns.pop("groups")
        n_before, t_before = 0, 0
        if self._continues(partial):
            n_before, t_before = self.n_iter_, self.t_
        else:
            seeds = check_random_state(self.random_state).randint(2**31 - 1, size=5)
            self._mixing_rng = np.random.RandomState(seeds[4])
        if self.mixup is not None:
            mixer = self._make_mixer(columns["y"], columns["weight"], groups)
            options["extend"] = mixer.extend
        self._hidden_mixer = None
        try:
            super()._fit_network(columns, X, y, partial=partial, **options)
        finally:
            if self._hidden_mixer is not None:
                self._hidden_mixer.remove()
            del self._hidden_mixer
        fraction = self._training_settings.validation_fraction
        n_rows = len(X) - self.early_stopping * math.ceil(fraction * len(X))
        self.t_ = t_before + (self.n_iter_ - n_before) * n_rows
        self._describe()
        return self

    def _make_mixer(self, labels, sample_weight, groups):
        kernel = self.kernel if self.mixup == "c-mixup" else "uniform"
        options = {"kernel": kernel, "standardize_target": False}
        return EpochMixer(
            labels,
            sample_weight,
            groups,
            sampler=TargetKernelSampler(self.bandwidth, **options),
            alpha=self.alpha,
            lambda_per=self.lambda_per,
            batch_partners=self.batch_partners,
            mixes_input=self.mix_layer == 0,
            random_state=self._mixing_rng,
        )

    def _describe(self):
        """Set what scikit-learn's networks have besides."""
        self.loss_, self.best_loss_ = self.loss_curve_[-1], min(self.loss_curve_)
        self.best_validation_score_ = max(self.validation_scores_ or [], default=None)
        blocks = getattr(self.module_, "blocks", None)
        self.n_layers_ = None if blocks is None else len(blocks) + 2
        self.out_activation_ = "identity"

    def _on_network_ready(self):
        """Check that there is a block to mix after, and hook it."""
        if self.mixup is None or self.mix_layer == 0:
            return
        blocks = getattr(self.module_, "blocks", None)
        if blocks is None:
            raise ValueError(
                f"mix_layer={self.mix_layer!r} needs a module with `blocks`, a "
                f"torch.nn.ModuleList, and {type(self.module_).__name__} has none: add "
                "it or set mix_layer=0."
            )
        if self.mix_layer != "random" and self.mix_layer > len(blocks):
            raise ValueError(
                f"mix_layer must be at most {len(blocks)}, the number of blocks of the "
                f"network, got {self.mix_layer}."
            )
        self._hidden_mixer = HiddenMixer(self.module_)

    def _draw_layer(self):
        if self.mix_layer != "random":
            return self.mix_layer
        return self._mixing_rng.randint(len(self.module_.blocks) + 1)

    def _training_loss(self, batch, state):
        if self._hidden_mixer is None:
            return super()._training_loss(batch, state)
        layer = self._draw_layer()
        outputs = self._outputs(
            batch.X, lambda X: self._hidden_mixer.forward(state.network, batch, layer)
        )
        return weighted_mean(self._loss_of_outputs(outputs, batch.y), batch.weight)

    @property
    def coefs_(self):
        """Weights of the layers of the built-in network, (n_in, n_out) each."""
        return [layer.weight.detach().cpu().numpy().T for layer in self._linear_layers]

    @property
    def intercepts_(self):
        """Biases of the layers of the built-in network, (n_out,) each."""
        return [layer.bias.detach().cpu().numpy() for layer in self._linear_layers]

    @property
    def _linear_layers(self):
        if type(getattr(self, "module_", None)).__name__ != "MLP":
            raise AttributeError("There are layers only of a fitted built-in network.")
        return [*(block[0] for block in self.module_.blocks), self.module_.head]


def _drop_weightless(columns, X, y):
    """Leave out rows of weight 0: they are neither mixed nor partners."""
    weight = columns["weight"]
    if weight is None or weight.all():
        return columns, X, y
    kept = weight > 0
    columns = {n: c if c is None else c[kept] for n, c in columns.items()}
    return columns, X[kept], y[kept]
