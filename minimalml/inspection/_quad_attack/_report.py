"""Figures and a picture of ordered top-k attacks, comparable between attacks."""

import itertools

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch

from minimalml._core.optional import import_pyplot
from minimalml.inspection._quad_attack._targets import (
    ordered_top_k_success,
    top_k_success,
)


def ordered_top_k_report(perturbation, logits, targets, *, common=None):
    """Sum up an attack: how often it succeeds, and how large its successes are.

    Parameters
    ----------
    perturbation : array-like of shape (n_samples, ...)
        What was added to the inputs.

    logits : array-like of shape (n_samples, n_classes)
        Scores of the perturbed inputs.

    targets : array-like of int, shape (n_samples, k)
        Columns of ``logits`` to lead, best first.

    common : array-like of bool, shape (n_samples,), default=None
        Where all attacks that are compared succeed; None means this one. Lengths over
        successes alone favour the attack that only does the easy ones.

    Returns
    -------
    report : Bunch
        - success_rate, unordered_success_rate : float.
        - l1, l2, linf : Bunch of ``mean``, ``min``, ``max`` over successes; NaN
          without any.
        - l2_common : float, mean Euclidean length over ``common``.
        - energy_curve : Bunch of ``energy``, the lengths of successes, ascending, and
          ``success_rate``, the share of rows that succeed within that length.

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.inspection import ordered_top_k_report
    >>> moved, logits = np.array([[3.0, 4.0], [1.0, 0.0]]), np.eye(3)[:2]
    >>> report = ordered_top_k_report(moved, logits, np.array([[0], [2]]))
    >>> report.success_rate, float(report.l2.mean)
    (0.5, 5.0)
    """
    logits, targets = np.asarray(logits), np.asarray(targets)
    flat = np.asarray(perturbation, dtype=float).reshape(len(logits), -1)
    success = ordered_top_k_success(logits, targets)
    l2 = np.sqrt((flat**2).sum(axis=1))
    chosen = success if common is None else np.asarray(common, dtype=bool) & success
    energy = np.sort(l2[success])
    return Bunch(
        success_rate=float(success.mean()),
        unordered_success_rate=float(top_k_success(logits, targets).mean()),
        l1=_spread(np.abs(flat).sum(axis=1)[success]),
        l2=_spread(energy),
        linf=_spread(np.abs(flat).max(axis=1)[success]),
        l2_common=float(l2[chosen].mean()) if chosen.any() else np.nan,
        energy_curve=Bunch(
            energy=energy,
            success_rate=np.arange(1, len(energy) + 1) / max(1, len(success)),
        ),
    )


def _spread(values):
    if len(values) == 0:
        return Bunch(mean=np.nan, min=np.nan, max=np.nan)
    return Bunch(mean=values.mean(), min=values.min(), max=values.max())


class OrderedAttackDisplay:
    """Show success rates against k, and against the length of perturbations.

    Parameters
    ----------
    results : dict of str to list of Bunch
        For each attack its results of `QuadAttack.attack`, one a value of k,
        ascending.

    Attributes
    ----------
    reports_ : dict of str to list of Bunch
        `ordered_top_k_report` of each result; ``l2_common`` is over the rows where
        all attacks succeed.
    figure_ : matplotlib Figure
        Set by ``plot``.
    axes_ : ndarray of two matplotlib Axes
        Success against k, and against length at the largest k.
    lines_ : dict of str to tuple of two matplotlib Line2D
        The curves of each attack.
    """

    def __init__(self, results):
        self.results = results
        per_k = zip(*results.values(), strict=True)
        common = [np.all([r.success for r in group], axis=0) for group in per_k]
        self.reports_ = {
            name: [
                ordered_top_k_report(
                    r.perturbation, r.logits, r.target_indices, common=shared
                )
                for r, shared in zip(group, common, strict=True)
            ]
            for name, group in results.items()
        }

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, k_values=(1, 2, 3), attacks=None, axes=None
    ):
        """Attack rows with several losses and list lengths, and show what comes out.

        Parameters
        ----------
        estimator : QuadAttack
            Attack with the settings that are shared; fitted anew on X for each loss.

        X : array-like of shape (n_samples, n_features)
            Clean inputs.

        y : array-like of shape (n_samples,)
            True labels.

        k_values : sequence of int, default=(1, 2, 3)
            Lengths of lists.

        attacks : dict of str to dict, default=None
            Parameters by name; None compares the three losses at the same margin, all
            by gradient steps.

        axes : array of two matplotlib Axes, default=None
            Where to draw.

        Returns
        -------
        OrderedAttackDisplay
        """
        if attacks is None:
            losses = ("quad", "cw", "distillation")
            attacks = {loss: {"loss": loss, "method": "gradient"} for loss in losses}
        model = getattr(estimator, "estimator_", estimator.estimator)
        results = {}
        for name, parameters in attacks.items():
            results[name] = []
            for k in sorted(k_values):
                attack = clone(estimator).set_params(k=k, **parameters)
                attack.estimator = model  # cloning forgot its fit
                results[name].append(attack.fit(X, y).attack(X, y))
        return cls(results).plot(axes)

    @classmethod
    def from_results(cls, results, *, axes=None):
        """Show results that are there already.

        Parameters
        ----------
        results : dict of str to list of Bunch
            As in the constructor.

        axes : array of two matplotlib Axes, default=None
            Where to draw.

        Returns
        -------
        OrderedAttackDisplay
        """
        return cls(results).plot(axes)

    def plot(self, axes=None):
        """Draw both curves.

        Parameters
        ----------
        axes : array of two matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        OrderedAttackDisplay
            Itself.
        """
        pyplot = import_pyplot("OrderedAttackDisplay")
        if axes is None:
            _, axes = pyplot.subplots(
                1, 2, figsize=(8, 3.2), sharey=True, layout="constrained"
            )
        by_k, by_length = axes
        self.lines_ = {}
        styles = itertools.cycle(("o-", "s--", "^:"))  # curves often coincide at 1
        for (name, reports), style in zip(self.reports_.items(), styles, strict=False):
            ks = [r.target_indices.shape[1] for r in self.results[name]]
            rates = [report.success_rate for report in reports]
            (line,) = by_k.plot(ks, rates, style, label=name)
            curve = reports[-1].energy_curve
            (steps,) = by_length.step(
                np.append(0.0, curve.energy),
                np.append(0.0, curve.success_rate),
                where="post",
                color=line.get_color(),
                label=name,
            )
            self.lines_[name] = line, steps
        by_k.set(
            xlabel="classes to put in order, k", ylabel="success rate", xticks=ks,
            ylim=(-0.02, 1.02),
        )  # fmt: skip
        by_length.set(xlabel=f"length of the perturbation, k = {ks[-1]}")
        by_length.legend(frameon=False)
        self.axes_, self.figure_ = np.asarray(axes), by_k.figure
        return self
