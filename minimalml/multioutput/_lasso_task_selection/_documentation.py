"""The words on what several functions and classes take and give, once."""

import inspect

WORDS = {
    "active": """n_components : int, default=5
    Dimension of the representation.
budget : int or float, default=1000
    Number of source samples to buy; the money for them, if ``sample_cost`` or
    ``task_cost`` is set.
strategy : {"lasso", "l2", "uniform"}, default="lasso"
    What later rounds buy by: the smallest-L1 relevance, the smallest-L2 relevance,
    or equal shares (passive learning).
exponent : float, default=1
    Samples are shared in proportion to ``|relevance| ** exponent``. With "l2", 2
    is the rule of the method of 2022.
lambda_ : float, "lp" or "discrepancy", default=0.05
    Penalty of the Lasso in units of the smallest that gives zero. "lp" takes the
    limit of none; "discrepancy" the largest whose residual is within the error of
    the target's head.
exploration_fraction : float, default=0.25
    Share of the budget that the first round spends equally on all sources.
n_rounds : int, default=2
    Number of rounds; each after the second has twice the budget of the one before.
    One round is passive learning.
reuse_data : bool, default=True
    Whether each round fits to all samples so far, or to its own only (which is
    unstable).
min_samples : int, default=None
    Floor of each source in later rounds; None takes 0 when data are reused, else
    ``n_components + 1``.
{prices}
center : bool, default=True
    Whether every task has an intercept; the paper's model has none.
max_iter : int, default=100
    Largest number of alternations of the representation in a round.
tol : float, default=1e-4
    A round's alternations stop when one lowers the loss by less than this share.
representation : torch.nn.Module, default=None
    Network from inputs to ``n_components`` features, for what is not linear. It is
    copied; the copy is trained by Adam in each round, on the device of its weights,
    with a linear head for each task, on squared errors, of classes on the logistic
    loss.
max_epochs : int, default=50
    Epochs of the network in each round.
learning_rate : float, default=1e-3
    Step size of the network.
random_state : int, RandomState instance or None, default=None
    Decides which rows are bought, or the sampler's seeds, and the network's.
n_jobs : int, default=None
    Threads that call a sampler at the same time.""",
    "active_attributes": """relevance_ : ndarray of shape (n_sources,)
    Relevance of each source after the last round: signed, but for more than two
    classes the norm over their heads.
allocation_ : ndarray of shape (n_rounds, n_sources)
    Samples bought in each round.
tasks_ : ndarray of shape (n_sources,)
    Identifiers of the sources.
history_ : list of dict
    Of each round ``allocation``, ``relevance``, ``cost`` and ``source_loss``.
representation_ : ndarray of shape (n_features, n_components)
    Orthonormal basis; the trained network, where one was given.
target_head_ : ndarray of shape (n_components, n_outputs)
    Head of the target, one output, or one a class beyond two.
n_iter_ : int
    Alternations, or epochs, up to the end of the last round.
n_samples_spent_ : int
    Number of source samples bought.
cost_ : float
    What they cost.
sample_indices_ : ndarray of int of shape (n_samples_spent_,)
    Rows of ``X`` bought, in this order; only after `fit`.
{features}""",
    "X": """X : array-like of shape (n_samples, n_features)
    Inputs.""",
    "rows": """X : array-like of shape (n_samples, n_features)
    Inputs.
y : array-like of shape (n_samples,)
    Targets.
tasks : array-like of shape (n_samples,), default=None
    Task of each row; None, which holds for all calls or none, takes all as one task.""",
    "fitted": """self
    The fitted estimator.""",
    "heads": """W : array-like of shape (k, n_tasks)
    Source heads, one a column. They are not normalised: a source with a small head is
    less informative.
w0 : array-like of shape (k,) or (k, n_targets)
    Target head, or several.""",
    "weights": """weights : array-like of shape (n_tasks,), default=None
    Positive price of each source's weight; None takes ones. With prices ``c`` of a
    sample, ``sqrt(c)`` gives the cheapest design.""",
    "relevance": """ndarray of shape (n_tasks,) or (n_tasks, n_targets)
    The relevance of each source.""",
    "prices": """sample_cost : array-like of shape (n_tasks,), default=None
    Positive price of a sample of each source; None counts samples.
task_cost : float or array-like of shape (n_tasks,), default=None
    Price, at least 0, of using a source at all.
max_tasks : int, default=None
    Largest number of sources; None sets no bound.""",
    "solver": """solver : {"alternating", "altgdmin"}, default="alternating"
    "alternating" solves for the basis, exactly for at most 400 unknowns, else by
    conjugate gradients; "altgdmin" takes one gradient step, for many features.""",
    "stopping": """ridge : float, default=1e-8
    Ridge of the heads, relative to the mean diagonal of their systems.
max_iter : int, default=100
    Largest number of alternations. 0 keeps the first basis, which with "moments" is the
    method of moments.
tol : float, default=1e-6
    Stop when an alternation lowers the loss by less than this share.
random_state : int, RandomState instance or None, default=None
    For the random start, and for directions that no task determines.""",
    "features": """n_features_in_ : int
    Number of features seen during fit.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the features, where ``X`` has string column names.""",
    "paper": """Wang, Chen, Jamieson, Du. Improved Active Multi-Task Representation Learning via
Lasso. ICML 2023, arXiv 2306.02556.""",
}


def document(described):
    """Put shared words where the docstrings of a function, or class, name them."""
    methods = vars(described).values() if inspect.isclass(described) else ()
    for thing in (described, *filter(inspect.isfunction, methods)):
        if thing.__doc__ is not None:  # a private method, or python -OO
            text = inspect.cleandoc(thing.__doc__)
            for name, words in WORDS.items():
                text = text.replace("{" + name + "}", words)
            thing.__doc__ = text
    return described
