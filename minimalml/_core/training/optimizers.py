"""Optimisers by name, in the fastest form that the device has.

A fused optimiser updates all parameters in one kernel: a step of a small network takes
two thirds of the time that it takes with the default form.
"""

import torch


def make_optimizer(parameters, optimizer, learning_rate, *, weight_decay, momentum):
    """Return a torch optimiser over ``parameters``, tensors or groups of them.

    ``optimizer`` is a name or a callable of groups and rate; ``momentum`` is that of
    "sgd", of Nesterov's kind where positive, as in scikit-learn.
    """
    groups = parameter_groups(parameters, weight_decay)
    if not isinstance(optimizer, str):
        return optimizer(groups, learning_rate)
    if optimizer == "lbfgs":
        return _make_lbfgs(groups, learning_rate, weight_decay)
    if optimizer == "sgd":
        options = {"momentum": momentum, "nesterov": momentum > 0}
        return _fused(torch.optim.SGD, groups, lr=learning_rate, **options)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    return _fused(kind, groups, lr=learning_rate)


def parameter_groups(parameters, weight_decay):
    """Return groups that each carry a weight decay."""
    parameters = list(parameters)
    if not parameters or not isinstance(parameters[0], dict):
        parameters = [{"params": parameters}]
    return [{"weight_decay": weight_decay, **group} for group in parameters]


def _fused(kind, groups, **options):
    try:
        return kind(groups, fused=True, **options)
    except RuntimeError:  # torch's answer where the device or dtype has no such kernel
        return kind(groups, foreach=True, **options)


def _make_lbfgs(groups, learning_rate, weight_decay):
    if weight_decay > 0:
        raise ValueError(
            "optimizer='lbfgs' has no weight decay, got "
            f"weight_decay={weight_decay}: set it to 0 or use 'adamw'."
        )
    parameters = [p for group in groups for p in group["params"]]
    # One iteration a call: an epoch is then one iteration, and each can be stopped.
    return torch.optim.LBFGS(
        parameters, lr=learning_rate, max_iter=1, max_eval=25, tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )  # fmt: skip


def fits(old, new):
    """Whether the moments of one optimiser are of use to another."""
    return type(old) is type(new) and all(
        len(a["params"]) == len(b["params"])
        and all(p is q for p, q in zip(a["params"], b["params"], strict=True))
        for a, b in zip(old.param_groups, new.param_groups, strict=True)
    )


def take_moments_inplace(new, state):
    """Load a state dictionary into ``new``, which keeps its own rates."""
    own = [{k: v for k, v in g.items() if k != "params"} for g in new.param_groups]
    new.load_state_dict(state)
    for group, values in zip(new.param_groups, own, strict=True):
        group.update(values)
