"""A classifier that trains few numbers, mapped at random to all weights of a network.

Li et al., ICLR 2018; from pretrained weights and by layers: Aghajanyan et al., ACL 2021.
"""

import copy
import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_array

from minimalml._core.arrays import to_numpy
from minimalml._core.models.weights import (
    find_weight_holder,
    model_weights,
    set_model_weights,
)
from minimalml._core.training.documentation import document_training
from minimalml._core.training.estimator import TRAINING_CONSTRAINTS
from minimalml._core.training.network import NetworkClassifier
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    StrOptions,
    check_is_fitted,
)
from minimalml.training_dynamics._intrinsic_dimension._fastfood import refuse_no_count
from minimalml.training_dynamics._intrinsic_dimension._subspace_module import (
    PROJECTIONS,
    draw_projections,
)

# Adam moves each number by this at first. In a subspace few numbers have to move far.
LEARNING_RATE, SUBSPACE_LEARNING_RATE = 1e-3, 0.1


@document_training
class SubspaceClassifier(NetworkClassifier):
    r"""Classify by a network of which only ``dimension`` numbers are trained.

    They are mapped to all D weights by a fixed random matrix: take it for the smallest
    fine-tuned model, some numbers and a seed, or inside `IntrinsicDimension` to learn
    how many a task needs. It is no faster to train: a step costs O(D log D) more than
    that of the network, and O(D) memory. Needs torch.

    Parameters
    ----------
    dimension : int or None, default=200
        Numbers to train, at least 1; more than D are cut to D with a warning. None
        trains all weights as they are, the baseline.

    projection : {"fastfood", "dense"}, default="fastfood"
        The random matrix; "dense" is a Gaussian one, of O(D dimension) memory.

    structure_aware : bool, default=False
        Whether each layer has a matrix of its own and a trained scale, which counts in
        ``dimension`` (SAID); for fine-tuning.

    initial_weights : mapping, fitted MLPClassifier or MLPRegressor, default=None
        Pretrained weights to start at, by the network's parameter names; those left out
        stay random, as the output layer should for a new task. A perceptron's output
        layer is left out where the number of outputs differs; put it into a
        FrozenEstimator where this estimator is cloned, as in a search.

    learning_rate : float or "auto", default="auto"
        Step size of the optimiser; "auto" is 0.1 in a subspace, 0.001 without.

    weight_decay : float, default=0.0
        In a subspace half of it times the squared norm of all weights is added to the
        loss; without, as the optimiser understands it.

    Attributes
    ----------
    theta_sub_ : ndarray of shape (dimension,) or (dimension - n_layers,)
        The numbers; not there with ``dimension=None``, as the next two.

    layer_scale_ : ndarray of shape (n_layers,)
        Scales of layers, with ``structure_aware`` only.

    projection_ : FastfoodProjection, ndarray or list of FastfoodProjection
        The matrix, drawn again at each access; a list by layer with
        ``structure_aware``.

    n_full_parameters_ : int
        D, the number of weights that could be trained.

    compression_ratio_ : float
        D by the numbers that were trained.

    codes_, scale_ : ndarray of int of shape (dimension,), float32
        Of a quantised copy: ``theta_sub_`` and then ``layer_scale_`` in steps of scale.

    See Also
    --------
    IntrinsicDimension : Searches the smallest dimension that does.
    subspace_module : The same for a training loop of your own.
    generalization_bound : What a quantised copy promises about new rows.

    Notes
    -----
    :math:`\theta = \theta_0 + P \theta_{sub}` with columns of P of length one, from
    :math:`\theta_{sub} = 0`; by layers :math:`\theta_i = \theta_{0,i} + \lambda_i P_i
    \theta_{sub}`, from :math:`\lambda_i = 1`. Biases and normalisations are part of
    :math:`\theta`.

    References
    ----------
    Li et al., "Measuring the intrinsic dimension of objective landscapes", ICLR 2018;
    Aghajanyan et al., "Intrinsic dimensionality explains the effectiveness of language
    model fine-tuning", ACL 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import scale
    >>> from minimalml.training_dynamics import SubspaceClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SubspaceClassifier(40, random_state=0).fit(scale(X), y)
    >>> model.n_full_parameters_, model.theta_sub_.shape
    (9091, (40,))
    >>> model.score(scale(X), y) > 0.9
    True
    """

    _parameter_constraints = {
        **NetworkClassifier._parameter_constraints,
        "dimension": [Interval(Integral, 1, None, closed="left"), None],
        "projection": [StrOptions(set(PROJECTIONS))],
        "structure_aware": ["boolean"],
        "initial_weights": [Mapping, HasMethods(["fit", "predict"]), None],
        "learning_rate": [*TRAINING_CONSTRAINTS["learning_rate"], StrOptions({"auto"})],
    }

    def __init__(
        self,
        dimension=200,
        *,
        projection="fastfood",
        structure_aware=False,
        hidden_layer_sizes=(128, 64),
        activation="relu",
        module=None,
        initial_weights=None,
        max_epochs=100,
        batch_size="auto",
        learning_rate="auto",
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
        self.dimension = dimension
        self.projection = projection
        self.structure_aware = structure_aware
        self.initial_weights = initial_weights

    def to_module(self):
        """Return a plain network with the trained weights.

        Returns
        -------
        torch.nn.Module
            A copy, of the kind that was trained.
        """
        check_is_fitted(self)
        module = self.module_
        return copy.deepcopy(module) if self._is_direct else module.to_module()

    def quantize(self, bits=8):
        """Round what was trained to few bits.

        Parameters
        ----------
        bits : int, default=8
            Of each number, from 2 to 16.

        Returns
        -------
        SubspaceClassifier
            A fitted copy with ``codes_`` and ``scale_``: ``dimension * bits`` bits, 32
            for the scale and 32 for the seed.

        Raises
        ------
        ValueError
            If ``bits`` is out of its range, or ``dimension`` is None.
        """
        check_is_fitted(self)
        if not isinstance(bits, Integral) or not 2 <= bits <= 16:
            raise ValueError(f"bits must be an integer from 2 to 16, got {bits!r}.")
        if self._is_direct:
            raise ValueError("dimension=None has no subspace to quantize.")
        from torch.nn.utils import parameters_to_vector, vector_to_parameters

        rounded = copy.deepcopy(self)
        rounded._training_state = None
        values = to_numpy(parameters_to_vector(rounded.module_.parameters()))
        step = np.float32(np.abs(values).max() / (2 ** (bits - 1) - 1))
        codes = np.rint(values / (step or 1)).astype(np.int8 if bits <= 8 else np.int16)
        rounded.codes_, rounded.scale_ = codes, step
        values = rounded.module_.theta_sub.new_tensor(codes * step)
        vector_to_parameters(values, rounded.module_.parameters())
        return rounded

    @property
    def theta_sub_(self):
        """The numbers that were trained."""
        return to_numpy(self.module_.theta_sub)

    @property
    def layer_scale_(self):
        """Trained scales of layers."""
        return to_numpy(self.module_.layer_scale)

    @property
    def projection_(self):
        """The random matrix."""
        maps = draw_projections(*self._projection_draws)
        return maps if self._projection_draws[3] else maps[0]

    @property
    def compression_ratio_(self):
        """How many times fewer numbers than weights."""
        dimension = 0 if self._is_direct else self._projection_draws[1]
        return self.n_full_parameters_ / (dimension or self.n_full_parameters_)

    @property
    def _is_direct(self):
        return not hasattr(self.module_, "theta_sub")

    def _build_network(self):
        import torch

        from minimalml.training_dynamics._intrinsic_dimension._subspace_torch import (
            SubspaceModule,
            layer_sizes,
        )

        for name in ("codes_", "scale_"):  # of a quantised copy that is fitted anew
            vars(self).pop(name, None)
        network = super()._build_network()
        network.to(getattr(torch, self._training_settings.dtype))
        if self.initial_weights is not None:
            set_initial_weights(network, self)
        sizes = layer_sizes(network)
        self.n_full_parameters_ = sum(sizes)
        if self.dimension is None:
            return network
        refuse_no_count("dimension", self.dimension)
        dimension = min(self.dimension, sum(sizes))
        if dimension < self.dimension:
            message = (
                f"dimension={self.dimension} is more than the {dimension} parameters of "
                "the network, which are all trained."
            )
            warnings.warn(message, UserWarning, stacklevel=2)
        # the generator is seeded with random_state; theta_0 is drawn already
        seed = int(torch.randint(2**31 - 1, ()))
        is_scaled = self.structure_aware
        self._projection_draws = (self.projection, dimension, sizes, is_scaled, seed)
        projections = draw_projections(*self._projection_draws)
        return SubspaceModule(network, projections, is_scaled)

    def _training_options(self, partial=False):
        options = super()._training_options(partial)
        if not self._is_direct:
            options["weight_decay"] = 0.0  # of all weights, in the loss
        if self.learning_rate == "auto":
            rate = LEARNING_RATE if self._is_direct else SUBSPACE_LEARNING_RATE
            options["learning_rate"] = rate
        return options

    def _training_loss(self, batch, state):
        loss = super()._training_loss(batch, state)
        if self.weight_decay == 0 or self._is_direct:
            return loss
        theta = state.module.full_parameters()
        return loss + 0.5 * self.weight_decay * theta.square().sum()


def set_initial_weights(network, classifier):
    """Write ``initial_weights`` of a `SubspaceClassifier` into its new network."""
    weights = classifier.initial_weights
    if not isinstance(weights, Mapping):
        weights = _weights_of_perceptron(network, classifier)
    for name, value in weights.items():
        options = dict(ensure_2d=False, allow_nd=True, ensure_min_samples=0)
        name = f"initial_weights[{name!r}]"
        check_array(to_numpy(value), input_name=name, **options)
    try:
        set_model_weights(network, weights)
    except ValueError as error:
        raise ValueError(f"initial_weights do not fit: {error}") from error


def _weights_of_perceptron(network, classifier):
    """Return a fitted perceptron's weights by the names of the built-in network."""
    try:
        perceptron = find_weight_holder(classifier.initial_weights)
    except NotFittedError as error:
        raise NotFittedError(
            "initial_weights must be fitted: where the classifier is cloned, as in a "
            "search, put them into a FrozenEstimator."
        ) from error
    if not isinstance(perceptron, MLPClassifier | MLPRegressor):
        raise TypeError(
            "initial_weights must be a mapping of arrays, an MLPClassifier or an "
            f"MLPRegressor, got {type(perceptron).__name__}."
        )
    given = model_weights(perceptron)
    sizes = [len(bias) for bias in perceptron.intercepts_[:-1]]
    asked = (list(classifier.hidden_layer_sizes), classifier.activation)
    if classifier.module is not None or asked != (sizes, perceptron.activation):
        raise ValueError(
            f"initial_weights of a perceptron need module=None, hidden_layer_sizes={sizes} "
            f"and activation={perceptron.activation!r} as it has, got "
            f"module={classifier.module}, {asked[0]} and {asked[1]!r}."
        )
    layers = [f"blocks.{i}.0" for i in range(len(sizes))] + ["head"]
    if len(perceptron.intercepts_[-1]) != network.head.out_features:
        layers.pop()  # another task
    weights = {
        f"{name}.weight": given[f"coefs_.{i}"].T for i, name in enumerate(layers)
    }
    biases = {
        f"{name}.bias": given[f"intercepts_.{i}"] for i, name in enumerate(layers)
    }
    return weights | biases
