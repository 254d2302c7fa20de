"""The words on what all networks share, once; each class docstring gets them from here.

A class documents its own parameters and attributes, and is decorated by
`document_training`, which adds the shared ones that it left out, in their order.
Attributes that a base class sets stand in its ``_attribute_words``.
"""

import inspect
import re

PARAMETERS = {
    "hidden_layer_sizes": """array-like of int
    Width of each hidden layer of the built-in network; an empty one leaves a linear
    model.""",
    "activation": """{"relu", "leaky_relu", "tanh", "logistic", "gelu", "identity"}
    Of the built-in network; "leaky_relu" has slope 0.1 below zero.""",
    "module": """torch.nn.Module, callable or None
    A network of your own: an instance, which is copied, or a class or function called
    with ``n_features`` and ``n_outputs``. To be pickled with the estimator it must be
    importable: no lambda. None is the built-in network.""",
    "max_epochs": """int
    Passes over the rows.""",
    "batch_size": """int or "auto"
    Rows a step; "auto" is 200, or all if they are fewer.""",
    "learning_rate": """float
    Step size of the optimiser.""",
    "weight_decay": """float
    Shrinks the weights, as the optimiser understands it.""",
    "early_stopping": """bool
    Whether to keep rows for validation, stop when their score stops rising, and return
    to the best epoch.""",
    "device": """str or torch.device
    Where to train: "auto" takes an accelerator if there is one.""",
    "warm_start": """bool
    Whether fit goes on from the present network.""",
    "random_state": """int, RandomState instance or None
    An int makes a fit repeatable bit for bit.""",
    "verbose": """int
    1 prints a line an epoch, 2 the losses by name.""",
    "training": """Training
    Optimiser, schedule and other settings of `minimalml.neural_network.Training`; None
    takes its defaults.""",
}
ATTRIBUTES = {
    "module_": """torch.nn.Module
    The network, in evaluation mode.""",
    "loss_curve_": """list of float
    Mean training loss of each epoch.""",
    "validation_scores_": """list of float or None
    Score on the validation rows after each epoch; None without early stopping.""",
    "n_iter_": """int
    Epochs since the network was made.""",
    "best_epoch_": """int
    Epoch whose weights the network has, counted from 1.""",
    "n_features_in_": """int
    Number of features seen by `fit`.""",
    "feature_names_in_": """ndarray of shape (n_features_in_,)
    Names of features seen by `fit`, if all are strings.""",
}

SECTION = re.compile(r"\n\n(?=[A-Z][\w ]*\n-{3,}\n)")
ENTRY = re.compile(r"\n\n(?=\w)")


def document_training(cls):
    """Add to the docstring of a class what it leaves to the shared words."""
    words = {**getattr(cls, "_attribute_words", {}), **ATTRIBUTES}
    return complete_docstring(cls, PARAMETERS, words)


def complete_docstring(cls, parameters, attributes):
    """Add words on parameters and attributes that the docstring of a class leaves out."""
    if cls.__doc__ is None:  # python -OO
        return cls
    signature = inspect.signature(cls).parameters
    shared = {
        name: f"{name} : {kind}, default={signature[name].default!r}\n{text}"
        for name, kind, text in _words(parameters)
        if name in signature
    }
    attributes = {n: f"{n} : {kind}\n{text}" for n, kind, text in _words(attributes)}
    sections = SECTION.split(inspect.cleandoc(cls.__doc__))
    titles = [section.partition("\n")[0] for section in sections]
    for place, title, added in (
        (1, "Parameters", shared),
        (2, "Attributes", attributes),
    ):
        if added and title not in titles:
            titles.insert(place, title)
            sections.insert(place, f"{title}\n----------")
        index = titles.index(title)
        sections[index] = _complete(sections[index], added, list(signature))
    cls.__doc__ = "\n\n".join(sections) + "\n"
    return cls


def _words(shared):
    for name, entry in shared.items():
        yield name, *entry.split("\n", 1)


def _complete(section, added, order):
    """Add entries to a section, in the order of the signature where they stand there."""
    title, line, *body = section.split("\n", 2)
    entries = {e.split()[0].rstrip(","): e for text in body for e in ENTRY.split(text)}
    entries = {**entries, **{n: e for n, e in added.items() if n not in entries}}
    last = len(order)
    names = sorted(entries, key=lambda n: order.index(n) if n in order else last)
    return "\n".join([title, line, "\n\n".join(entries[name] for name in names)])
