"""C-Mixup on the diabetes table, beside no mixing, vanilla mixup and boosted trees."""

from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, ShuffleSplit

from minimalml._core.optional import import_pyplot
from minimalml._demo._compare import Contender, Demo, pipeline_for
from minimalml.resampling import (
    CMixup,
    CMixupMLPRegressor,
    CMixupRegressor,
    TargetKernelDisplay,
)

CODE = """
from minimalml.resampling import CMixupMLPRegressor
from sklearn.callback import ProgressBar
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_diabetes(return_X_y=True)
model = Pipeline(
    [("scale", StandardScaler()), ("model", CMixupMLPRegressor(random_state=0))]
)
search = GridSearchCV(
    model,
    {"model__bandwidth": [0.1, 0.5, 2.0]},
    scoring="neg_root_mean_squared_error",
    cv=2,
)
search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
"""
SCORING = "neg_root_mean_squared_error"


def demo(quick=False):
    """Return the demo of this family."""
    X, y = load_diabetes(return_X_y=True)
    network = dict(max_epochs=5 if quick else 40, batch_size=32, random_state=0)
    trees = HistGradientBoostingRegressor(max_iter=20 if quick else 60, random_state=0)
    decay, leaves = [1e-3, 1e-1], [3, 10]
    contenders = [
        Contender(
            "network, no mixing",
            CMixupMLPRegressor(mixup=None, **network),
            {"weight_decay": decay},
        ),
        Contender(
            "network, vanilla mixup",
            CMixupMLPRegressor(mixup="mixup", **network),
            {"weight_decay": decay, "alpha": [0.5, 2.0]},
        ),
        Contender(
            "network, C-Mixup",
            CMixupMLPRegressor(**network),
            {"weight_decay": decay, "bandwidth": [0.1, 0.5]},
            is_ours=True,
        ),
        Contender("boosted trees", trees, {"max_leaf_nodes": leaves}),
        Contender(
            "boosted trees, C-Mixup",
            CMixupRegressor(trees, random_state=0),
            {"estimator__max_leaf_nodes": leaves, "bandwidth": [0.1, 0.5]},
            is_ours=True,
        ),
        Contender("ridge regression", Ridge(), {"alpha": [1.0, 10.0, 30.0, 100.0]}),
    ]
    showcase = GridSearchCV(
        pipeline_for(CMixupMLPRegressor(**network)),
        {"model__bandwidth": [0.1, 0.5, 2.0]},
        scoring=SCORING,
        cv=2,
    )
    return Demo(
        title="Mixing rows whose labels are close",
        question="Does training on mixtures of similar patients predict the progress "
        "of diabetes better than training on the patients themselves?",
        data="Diabetes: 442 patients, 10 measurements, progress of the disease after "
        "one year.",
        X=X,
        y=y,
        contenders=contenders,
        baseline="network, no mixing",
        scoring=SCORING,
        metric="RMSE",
        code=CODE,
        showcase=showcase,
        figures=lambda search: [bandwidth_figure(search, X, y)],
        splits=ShuffleSplit(2 if quick else 5, test_size=0.25, random_state=0),
    )


def bandwidth_figure(search, X, y):
    """Who is mixed with whom at the bandwidth that the search chose."""
    chosen = search.best_params_["model__bandwidth"]
    plt = import_pyplot("The demo")
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    TargetKernelDisplay.from_estimator(
        CMixup(bandwidth=chosen), X, y, axes=axes, cmap="Blues"
    )
    caption = (
        f"Who is mixed with whom at bandwidth {chosen}, the one that the search over "
        "all rows chose: the probability of each partner, patients sorted by the "
        "progress of their disease, and how many partners that amounts to."
    )
    return caption, figure
