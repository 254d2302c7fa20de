"""The words that the classifier's and the regressor's docstrings share."""

PARAMETERS = {
    "param_distributions": """dict, list of dict or ParameterGrid
    A dict of lists and distributions is drawn from, as in RandomizedSearchCV; of a list
    of dicts, each one candidate's parameters, and of a ParameterGrid all are taken.
    None, for MLPs, draws ``learning_rate_init`` and ``alpha``.""",
    "n_candidates": """int
    Number of candidates that are drawn.""",
    "method": """{"greedy", "uniform", "learned"}
    "greedy" adds candidates, best first, as long as the validation score does not fall,
    and is never worse there than the best one. "uniform" is the mean of all. "learned"
    finds mixing weights by gradients of the validation loss, and needs torch.""",
    "accept": """{"not_worse", "better"} or float
    Which soups "greedy" accepts: those that score at least as much as the present one,
    more, or less by no more than a number.""",
    "top": """int
    Only so many of the best candidates may enter the soup.""",
    "validation_fraction": """float
    Part of X that is held out, of a classifier by class, where no ``X_val`` is given.""",
    "init": """estimator or mapping of arrays
    The common start: a fitted estimator, or its weights by name. Cloning, as in a search,
    forgets a fit: wrap it in FrozenEstimator to keep it. None fits ``estimator`` once.""",
    "pretrain_params": """dict
    Parameters of that one fit only.""",
    "interpolation_with_init": """float
    Where the result lies between the start, 0, and the soup, 1; less than 1 is for rows
    unlike those of `fit`.""",
    "n_jobs": """int
    Candidates trained at once, by joblib.""",
    "random_state": """int, RandomState instance or None
    Seeds the draw of candidates, the split, and each fit.""",
    "verbose": """int
    1 prints a line for each candidate and soup.""",
}
ATTRIBUTES = {
    "estimator_": """estimator
    Fitted, of the kind that was given, with the weights of the soup.""",
    "weights_": """dict of str to array
    Weights of ``estimator_``, live.""",
    "init_": """dict of str to array
    Weights of the start.""",
    "candidates_": """list of dict of str to array
    Weights of all candidates.""",
    "candidate_params_": """list of dict
    Their parameters.""",
    "candidate_scores_": """ndarray of shape (n_candidates,)
    Their validation scores, greater is better; NaN of those that diverged.""",
    "ingredients_": """list of int
    Candidates in the soup, in the order in which they were added.""",
    "soup_scores_": """ndarray of shape (n_soups,)
    Validation scores of the best candidate and of each soup that was tried.""",
    "mixing_weights_": """ndarray of shape (n_candidates,)
    What each candidate counts for in the soup.""",
    "best_index_": """int
    The best candidate.""",
    "best_params_": """dict
    Its parameters.""",
    "n_features_in_": """int
    Number of features.""",
    "feature_names_in_": """ndarray of shape (n_features,)
    Names of features, if they all are strings.""",
}
