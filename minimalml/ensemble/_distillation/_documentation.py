"""The words that the classifier's and the regressor's docstrings share."""

from functools import partial

from minimalml._core.training import documentation

PARAMETERS = documentation.PARAMETERS | {
    "prefit": """bool
    Whether teachers are used as they are; else clones are fitted.""",
    "cv": """int, cross-validation generator or None
    Folds for the targets of the rows of `fit`, so that no teacher speaks of rows that it
    was fitted on; without effect if ``prefit``. None: in sample.""",
    "teacher_weights": """array-like of shape (n_teachers,)
    What a teacher counts in the mean.""",
    "init_student": """{"pretrain"} or None
    Whether a network is trained on y first, by as many epochs, and goes on from there;
    estimators as students have no such start.""",
    "hard_label_weight": """float
    Share of y in the loss, in [0, 1]; the paper finds it needless.""",
    "augment": """callable
    ``augment(X, rng) -> X'`` draws other rows for each epoch from ``rng``, a NumPy
    generator. The teachers are asked about these, in sample. For a network.""",
    "n_jobs": """int
    Jobs that fit teachers, by joblib.""",
}
ATTRIBUTES = {
    "teachers_": """list of estimators
    Fitted, on all rows.""",
    "student_": """estimator
    The fitted student.""",
    "loss_curve_": """list of float
    Loss of each epoch on the targets, of a network.""",
    "n_iter_": """int
    Number of these epochs.""",
    "n_features_in_": documentation.ATTRIBUTES["n_features_in_"],
    "feature_names_in_": documentation.ATTRIBUTES["feature_names_in_"],
}
document_distillation = partial(
    documentation.complete_docstring, parameters=PARAMETERS, attributes=ATTRIBUTES
)
