"""Learn to select from each set of rows the subset that belongs together.

A utility F of subsets is learnt from sets whose best subset is known; what a row adds
to random subsets decides whether it is selected. EquiVSet (Ou et al., 2022) lets F see
the subset only, INSET (Xie et al., 2024) the rest of the set as well.
"""

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_random_state, column_or_1d

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.arrays import import_torch, resolve_device
from minimalml._core.callbacks import with_callbacks
from minimalml._core.groups import GroupIndex
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import (
    TRAINING_CONSTRAINTS,
    TorchEstimatorMixin,
)
from minimalml._core.training.settings import Training
from minimalml._core.validation import (
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    check_sample_weight,
    validate_data,
)
from minimalml.bags._bag_estimator import BagsMixin
from minimalml.bags._subset_selection._choice import best_threshold, choose

FLOATS = [np.float64, np.float32]
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


@document_training
class SubsetSelector(BagsMixin, ClassifierMixin, TorchEstimatorMixin, BaseEstimator):
    """Select in each bag the rows that are in its best subset, given the other rows.

    Learns from bags whose subset is marked row by row, and selects in new bags. Use it
    where membership depends on the other rows of the bag: the odd ones out, a choice
    that goes together. Where a row tells by itself, any classifier of rows is simpler.
    An epoch costs O(n M (h1 h2 + ...)) for M = ``n_samples`` and widths h of the hidden
    layers; memory is O(n_batch M h).

    Parameters
    ----------
    context : {"complement", "superset"} or None, default="complement"
        What the utility of a subset sees of its bag beside the subset: the rows left
        out, all rows, or nothing.

    inference : {"copula", "independent", "mean_field"}, default="copula"
        Where chances start: at the proposals of a second network, which draws the rows
        of a bag with common factors or independently, or at a half.

    encoder : {"mlp", "linear"} or torch.nn.Module, default="mlp"
        Makes a vector of a row, by one hidden layer or none. A module maps
        (n, n_features) to (n, n_components); it is copied, once for each network.

    n_components : int, default=64
        Length of these vectors.

    hidden_layer_sizes : array-like of int, default=(128, 128)
        Hidden layers of what follows the encoders.

    pooling : {"sum", "mean"}, default="sum"
        How the vectors of a subset become one; "mean" divides by the size of the bag,
        for bags of very different sizes.

    n_mean_field_steps : int, default=1
        Updates of the chances from where they start.

    n_samples : int, default=5
        Random subsets an update is estimated by in training; predictions take 64.

    negative_ratio : float or None, default=1.0
        Rows outside the subset that count in a step, drawn anew each epoch, for each
        row of the subset; at least one of a bag. None counts all.

    selection : {"threshold", "optimal", "size"} or int, default="threshold"
        How chances become a subset: those above a half; above the threshold of the
        largest mean Jaccard score on the training bags, or on those held out; as many
        of each bag as its chances add up to; or so many.

    batch_size : int or "auto", default=32
        Bags a step; "auto" takes bags of about 256 rows together.

    early_stopping : bool, default=False
        Whether to hold out bags, stop when their loss stops falling, and return to the
        best epoch.

    training : Training, default=None
        Optimiser, schedule and other settings of `minimalml.neural_network.Training`.
        None clips gradients to 10 and stops early after 6 epochs without a better loss.

    Attributes
    ----------
    set_function_ : torch.nn.Module
        The utility of subsets.

    recognition_ : torch.nn.Module or None
        What proposes chances; None for ``inference="mean_field"``.

    threshold_ : float
        Chance above which rows are selected, by the rules that compare.

    classes_ : ndarray of shape (2,)
        Labels, the second of the rows in the subset.

    loss_curve_ : list of float
        Mean cross-entropy of bags, summed over their rows, in each epoch.

    elbo_curve_ : list of float or None
        Mean lower bound on the log-likelihood of proposals in each epoch.

    See Also
    --------
    mean_jaccard_score : How well the subsets of bags agree.
    mean_field_update : The update of chances for a utility of your own.

    Notes
    -----
    ``F(S; V) = g1(z_S) + g2(z_V - z_S)`` with ``z_S`` the sum of encoded rows of S
    ("superset": ``g2`` of both sums). Subsets have probability in proportion to
    ``exp(F)``; the chance of row j is ``sigmoid(E[F(S with j) - F(S without j)])``, S
    drawn by the chances before. Predictions draw from a fixed table, so that they are a
    function of the set: neither the order of its rows nor other bags matter.

    References
    ----------
    .. [1] Xie, Bian, Liu, Zhou, Han, Zhang, Cheng, "Enhancing neural subset selection:
       integrating background information into set representations", arXiv 2402.03139.
    .. [2] Ou, Xu, Su, Li, Zhao, Bian, "Learning neural set functions under the optimal
       subset oracle", NeurIPS 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from minimalml.bags import SubsetSelector, mean_jaccard_score
    >>> from minimalml.datasets import make_odd_one_out_subsets
    >>> X, y, bags = make_odd_one_out_subsets(*load_iris(return_X_y=True), 60,
    ...                                       random_state=0)
    >>> model = SubsetSelector(max_epochs=15, random_state=0).fit(X, y, bags)
    >>> X, y, bags = make_odd_one_out_subsets(*load_iris(return_X_y=True), 60,
    ...                                       random_state=1)
    >>> mean_jaccard_score(y, model.predict(X, bags), bags) > 0.6
    True
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "context": [StrOptions({"complement", "superset"}), None],
        "inference": [StrOptions({"copula", "independent", "mean_field"})],
        "encoder": [StrOptions({"mlp", "linear"}), callable],
        "n_components": [AT_LEAST_1],
        "hidden_layer_sizes": ["array-like"],
        "pooling": [StrOptions({"sum", "mean"})],
        "n_mean_field_steps": [AT_LEAST_1],
        "n_samples": [AT_LEAST_1],
        "negative_ratio": [Interval(Real, 0, None, closed="left"), None],
        "selection": [StrOptions({"threshold", "optimal", "size"}), AT_LEAST_1],
    }

    def __init__(
        self,
        context="complement",
        *,
        inference="copula",
        encoder="mlp",
        n_components=64,
        hidden_layer_sizes=(128, 128),
        pooling="sum",
        n_mean_field_steps=1,
        n_samples=5,
        negative_ratio=1.0,
        selection="threshold",
        max_epochs=100,
        batch_size=32,
        learning_rate=1e-3,
        weight_decay=1e-5,
        early_stopping=False,
        training=None,
        device="auto",
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.context = context
        self.inference = inference
        self.encoder = encoder
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.pooling = pooling
        self.n_mean_field_steps = n_mean_field_steps
        self.n_samples = n_samples
        self.negative_ratio = negative_ratio
        self.selection = selection
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.training = training
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, bags=None, sample_weight=None):
        """Train on bags whose subsets are known.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled.

        y : array-like of shape (n_samples,)
            Two labels; the larger one marks the rows in the subset of their bag.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag, in any order. None makes each row a bag, and the
            selector a classifier of rows.

        sample_weight : array-like of shape (n_samples,), default=None
            What a row's loss counts for. Rows of weight 0 still are part of their bag,
            as rows of unknown membership; bags of such rows alone are left out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If torch is not installed.
        ValueError
            If y has not two labels, ids are missing or of another number, the encoder
            does not give ``n_components`` numbers, or the loss is not finite after the
            first epoch.
        """
        torch = import_torch(type(self).__name__)
        from minimalml._core.training.group_batches import GroupBatches

        X, y = validate_data(self, X, y, dtype=FLOATS, reset=not self._continues())
        membership = self._encode_membership(y)
        weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        order, index = _sorted_rows(X, bags, weight)
        weight = weight[order] / weight[order].mean()
        rows = np.column_stack([X[order], membership[order], weight])
        dtype = getattr(torch, self._training_settings.dtype)
        self._batches = GroupBatches(index, rows, resolve_device(self.device), dtype)
        self._held_out, self._rule, self.threshold_ = None, self.selection, 0.5
        # the means are for checkpoints, which know rows by columns
        columns = {"bag": np.arange(len(index)), "mean": index.mean(rows)}
        self._fit_network(
            columns, X, y, extend=self._batches.extend,
            batch_size=self._batches.batch_size(self.batch_size),
        )  # fmt: skip
        if self.selection == "optimal":
            self.threshold_ = self._best_threshold(rows, index)
        del self._batches, self._held_out
        return self

    def _encode_membership(self, y):
        """Return 1.0 for the rows in the subset of their bag, and set the classes."""
        if self._continues():
            return encode_labels(y, self.classes_).astype(np.float64)
        classes, codes = unique_labels(y)
        if len(classes) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"multiclass: y must have 2 classes, got {len(classes)}."
            )
        if len(classes) < 2:
            raise ValueError(f"y must have 2 classes, got 1 class: {classes[0]!s}.")
        self.classes_ = classes
        return codes.astype(np.float64)

    @property
    def _training_settings(self):
        if self.training is None:
            return Training(gradient_clip=10.0, n_iter_no_change=6)
        return self.training

    def _build_network(self):
        from minimalml.bags._subset_selection._networks_torch import build_network

        # apart from the four seeds of training, which are drawn first
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=5)
        return build_network(
            self.encoder, self.n_features_in_, self.n_components,
            self.hidden_layer_sizes, self.context, self.pooling, self.inference,
            table_seed=int(seeds[4]),
        )  # fmt: skip

    def _on_network_ready(self):
        self.module_.n_steps = self.n_mean_field_steps

    def _training_options(self, partial=False):
        options = super()._training_options(partial)
        if options["optimizer"] == "lbfgs":
            raise ValueError(
                "training.optimizer must not be 'lbfgs', whose line search needs a loss "
                "without random subsets: use 'adam'."
            )
        options["optimizers"] = [
            {"parameters": part.parameters()} for part in self.module_.children()
        ]
        return options

    def _training_loss(self, batch, state):
        """Return the losses of both networks, each moved in its turn."""
        network, ratio = state.network, self.negative_ratio
        common = *batch.rows, self.n_samples
        losses = [lambda: network("membership_loss", *common, ratio)]
        if self.module_.recognition is not None:
            losses.insert(0, lambda: network("elbo_loss", *common))
        return list(enumerate(losses))

    def _validation_options(self, columns, stratify, seed):
        options = super()._validation_options(columns, stratify, seed)
        if options:
            self._held_out = np.setdiff1d(columns["bag"], options["rows"])
        return options

    def _validation_score(self, columns, state):
        """Return minus the loss of the bags held out, expected over drawn rows."""
        rows, index = self._batches.gather(self._held_out)
        return -self.module_.expected_loss(rows, index, self.negative_ratio)

    def _best_threshold(self, rows, index):
        """Return the best threshold on the bags held out, or on all."""
        logits = self._batches.map(
            lambda rows, index: self.module_.predicted_logits(rows[:, :-2], index),
            self.module_,
        )
        chosen = index.codes if self._held_out is None else self._held_out
        kept = np.isin(index.codes, chosen) & (rows[:, -1] > 0)
        codes, is_member = index.codes[kept], rows[kept, -2] > 0
        return best_threshold(
            logits.cpu().numpy()[kept], is_member, GroupIndex(codes, len(codes))
        )

    def _keep(self, state):
        super()._keep(state)
        *proposals, self.loss_curve_ = state.losses.values()
        self.elbo_curve_ = [-loss for loss in proposals[0]] if proposals else None

    @property
    def set_function_(self):
        """The utility of subsets."""
        return self.module_.set_function

    @property
    def recognition_(self):
        """What proposes chances; None for ``inference="mean_field"``."""
        return self.module_.recognition

    def decision_function(self, X, bags=None):
        """Return the logit of each row's chance to be in the subset of its bag.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row one.

        Returns
        -------
        ndarray of shape (n_samples,)
            What the row adds to the utility of random subsets of the others, on
            average.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        order, index = _sorted_rows(X, bags)
        logits = np.empty(len(X), dtype=X.dtype)
        logits[order] = self._map_bags(self.module_.predicted_logits, X[order], index)
        return logits

    def _map_bags(self, function, rows, index):
        """Return a function of rows and their index over all bags, as an array."""
        import_torch(type(self).__name__)
        from minimalml._core.training.group_batches import GroupBatches

        parameter = next(self.module_.parameters())
        batches = GroupBatches(index, rows, parameter.device, parameter.dtype)
        found = batches.map(function, self.module_).cpu().numpy()
        if not np.isfinite(found).all():
            raise ValueError(
                "X gives outputs that are not finite: its largest number, "
                f"{np.abs(rows).max():g}, is too large for the network. Scale X as in "
                "fit."
            )
        return found

    def predict_proba(self, X, bags=None):
        """Return the chance of each row to be in the subset of its bag.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row one.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            The chance to be outside, and that to be in it.
        """
        logits = self.decision_function(X, bags)
        return expit(np.column_stack([-logits, logits]))

    def predict(self, X, bags=None):
        """Select rows by the rule ``selection`` that the model was fitted with.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row one.

        Returns
        -------
        ndarray of shape (n_samples,)
            ``classes_[1]`` for the rows in the subset of their bag, else
            ``classes_[0]``.

        Warns
        -----
        UserWarning
            If ``selection`` is an int and bags have fewer rows.
        """
        logits = self.decision_function(X, bags)
        index = GroupIndex(bags, len(logits))
        is_member = choose(logits, index, self._rule, self.threshold_)
        return self.classes_[is_member.astype(np.intp)]

    def score(self, X, y, bags=None, sample_weight=None):
        """Return the share of rows whose membership is right.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        y : array-like of shape (n_samples,)
            Labels as in `fit`.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row one.

        sample_weight : array-like of shape (n_samples,), default=None
            What rows count for; those of weight 0 still are part of their bag.

        Returns
        -------
        float
            Accuracy over rows. `mean_jaccard_score` scores subsets.
        """
        found, y = self.predict(X, bags), column_or_1d(y)
        if sample_weight is not None:
            sample_weight = check_sample_weight(
                sample_weight, found[:, None], ensure_non_negative=True
            )
        return accuracy_score(y, found, sample_weight=sample_weight)

    def utility(self, X, mask, bags=None):
        """Return the learnt utility of one subset of each bag.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, scaled as those of `fit`.

        mask : array-like of shape (n_samples,)
            Whether each row is in the subset, or how much, from 0 to 1.

        bags : array-like of shape (n_samples,), default=None
            The id of each row's bag. None makes each row one.

        Returns
        -------
        ndarray of shape (n_bags,)
            F of each bag, bags in the order of their sorted ids. Only differences
            between subsets of the same bag have a meaning.

        Raises
        ------
        ValueError
            If ``mask`` has another number of rows than X or values outside [0, 1].
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        mask = column_or_1d(mask).astype(X.dtype)
        if len(mask) != len(X):
            raise ValueError(f"mask has {len(mask)} values but X has {len(X)} rows.")
        if not ((mask >= 0) & (mask <= 1)).all():
            raise ValueError(
                f"mask must be booleans, or numbers in [0, 1], got {mask.min()} to "
                f"{mask.max()}."
            )
        order, index = _sorted_rows(X, bags)

        def utilities(rows, index):
            return self.set_function_(rows[:, :-1], rows[:, -1:], index)[:, 0]

        rows = np.column_stack([X, mask])[order]
        return self._map_bags(utilities, rows, index).astype(X.dtype, copy=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _sorted_rows(X, bags, weight=None):
    """Return the order of rows bag by bag, and the index of rows in that order.

    Rows of a bag are sorted by their values, as a set has no order of its own. Bags
    without weight are left out.
    """
    index = GroupIndex(bags, len(X))
    order = index.order
    if not index.is_singletons:
        order = np.lexsort((*X.T[::-1], index.codes))
    if weight is not None:
        has_weight = index.sum(weight) > 0
        order = order[has_weight[index.codes[order]]]
    return order, GroupIndex(index.codes[order], len(order))
