"""What few change about the training of a network, as one object."""

from numbers import Integral, Real
from os import PathLike

from sklearn.base import BaseEstimator

from minimalml._core.training.schedules import SCHEDULES
from minimalml._core.validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)


class Training(BaseEstimator):
    """Say how networks train, beyond the few parameters that each has of its own.

    Every estimator that trains a network takes one as ``training``; None there stands
    for the defaults. A search reaches the settings as ``training__schedule`` and so on
    once the estimator has such an object: ``training=Training()``.

    Parameters
    ----------
    optimizer : {"adam", "adamw", "sgd", "lbfgs"} or callable, default="adam"
        A callable gets parameters and learning rate, and returns a torch optimiser.
        "sgd" has a Nesterov momentum of 0.9; "lbfgs" needs ``batch_size="auto"`` and no
        weight decay.

    schedule : {"constant", "cosine", "linear", "step", "onecycle"} or callable, \
            default="constant"
        How the learning rate goes over the run; a callable maps progress in [0, 1) to a
        factor.

    warmup_epochs : float, default=0
        Epochs over which the learning rate first rises.

    gradient_clip : float, default=None
        Largest norm of the gradient; None leaves it as it is.

    validation_fraction : float, default=0.1
        Share of the rows, in (0, 1), that ``early_stopping=True`` scores and does not
        train on.

    n_iter_no_change : int, default=10
        Epochs without a better score before early stopping ends the run.

    tol : float, default=1e-4
        By how much a score must rise to count as better.

    weight_average : {"swa", "ema"}, float or None, default=None
        Predict with an average of the weights: "swa" of those after each epoch of the
        last quarter, "ema" an exponential average over the steps. A float in (0, 1) is
        the share that the exponential average keeps at each step, 0.999 for "ema".

    dtype : {"float32", "float64"}, default="float32"
        Of weights and rows on the device.

    amp : bool, "bfloat16" or "float16", default=False
        Mixed precision; True is bfloat16, float16 needs cuda.

    compile : bool, default=False
        Whether torch compiles the network.

    checkpoint : str or path, default=None
        File that is written after each epoch. Where it is there already, fit goes on
        from it, and ends as it would have without the interruption. A file of other
        rows or parameters is refused. Give ``random_state`` an int if rows are held
        out; what a method draws of its own, beyond order and dropout, is drawn anew.

    See Also
    --------
    minimalml.resampling.CMixupMLPRegressor : One of the estimators that take it.

    Notes
    -----
    Values are checked when a network is fitted.

    Examples
    --------
    >>> from minimalml.neural_network import Training
    >>> from minimalml.resampling import CMixupMLPRegressor
    >>> model = CMixupMLPRegressor(training=Training(schedule="cosine"))
    >>> model.set_params(training__gradient_clip=1.0).training
    Training(gradient_clip=1.0, schedule='cosine')
    """

    _parameter_constraints = {
        "optimizer": [StrOptions({"adam", "adamw", "sgd", "lbfgs"}), callable],
        "schedule": [StrOptions(set(SCHEDULES)), callable],
        "warmup_epochs": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "weight_average": [
            StrOptions({"ema", "swa"}),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "dtype": [StrOptions({"float32", "float64"})],
        "amp": ["boolean", StrOptions({"float16", "bfloat16"})],
        "compile": ["boolean"],
        "checkpoint": [str, PathLike, None],
    }

    def __init__(
        self,
        *,
        optimizer="adam",
        schedule="constant",
        warmup_epochs=0,
        gradient_clip=None,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        weight_average=None,
        dtype="float32",
        amp=False,
        compile=False,
        checkpoint=None,
    ):
        self.optimizer = optimizer
        self.schedule = schedule
        self.warmup_epochs = warmup_epochs
        self.gradient_clip = gradient_clip
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.weight_average = weight_average
        self.dtype = dtype
        self.amp = amp
        self.compile = compile
        self.checkpoint = checkpoint


def validate_training(training, caller_name):
    """Check the values of ``training``, naming them as its estimator's parameters."""
    constraints = training._parameter_constraints
    validate_parameter_constraints(
        {f"training.{name}": allowed for name, allowed in constraints.items()},
        {f"training.{name}": getattr(training, name) for name in constraints},
        caller_name=caller_name,
    )
