"""Every kind of model that is a smoother."""

import numpy as np
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeRegressor,
)

FEW = dict(n_estimators=4, random_state=0)
MEMBERS = [
    ("forest", RandomForestRegressor(**FEW)),
    ("gone", "drop"),
    ("ridge", Ridge(2.0)),
]
WITHOUT_INTERCEPT = LinearRegression(fit_intercept=False, positive=True)

TREES = [
    DecisionTreeRegressor(criterion="poisson", max_depth=4, random_state=0),
    DecisionTreeRegressor(ccp_alpha=0.05, random_state=0),
    ExtraTreeRegressor(max_depth=5, random_state=0),
    DecisionTreeClassifier(class_weight="balanced", max_depth=4, random_state=0),
]
FORESTS = [
    RandomForestRegressor(**FEW),
    RandomForestRegressor(max_samples=0.4, min_samples_leaf=2, **FEW),
    RandomForestRegressor(bootstrap=False, max_features=1 / 3, **FEW),
    ExtraTreesRegressor(**FEW),
    ExtraTreesRegressor(bootstrap=True, **FEW),
    BaggingRegressor(**FEW),
    BaggingRegressor(max_features=0.6, max_samples=0.5, bootstrap=False, **FEW),
    BaggingRegressor(ExtraTreeRegressor(), bootstrap_features=True, **FEW),
    RandomForestClassifier(class_weight={"a": 3.0, "b": 1.0, "c": 0.5}, **FEW),
    RandomForestClassifier(class_weight="balanced", **FEW),
    RandomForestClassifier(
        class_weight="balanced_subsample", min_samples_leaf=4, **FEW
    ),
    ExtraTreesClassifier(class_weight="balanced_subsample", max_depth=4, **FEW),
    ExtraTreesClassifier(class_weight={"a": 3, "b": 1, "c": 2}, max_depth=4, **FEW),
    BaggingClassifier(
        DecisionTreeClassifier(class_weight="balanced", max_depth=3), **FEW
    ),
]
BOOSTING = [
    GradientBoostingRegressor(n_estimators=8, learning_rate=0.3, random_state=0),
    GradientBoostingRegressor(
        n_estimators=5, init="zero", max_depth=None, min_samples_leaf=4
    ),
    GradientBoostingRegressor(n_estimators=5, init=DecisionTreeRegressor(max_depth=2)),
]
OTHERS = [
    LinearRegression(),
    LinearRegression(fit_intercept=False),
    Ridge(3.0),
    Ridge(0.5, fit_intercept=False),
    BaggingRegressor(Ridge(), max_features=0.6, **FEW),
    BaggingRegressor(RandomForestRegressor(**FEW), n_estimators=2, random_state=0),
    VotingRegressor(MEMBERS, weights=[2.0, 5.0, 1.0]),
    VotingClassifier([("f", FORESTS[10]), ("t", TREES[3])], voting="soft"),
    StackingRegressor(
        [("b", GradientBoostingRegressor(n_estimators=4)), ("r", Ridge())],
        WITHOUT_INTERCEPT,
    ),
]
# whose fit takes no sample_weight
UNWEIGHTED = [
    KNeighborsRegressor(4),
    KNeighborsRegressor(4, weights="distance"),
    KNeighborsRegressor(3, weights=lambda distances: np.exp(-distances)),
    KNeighborsClassifier(5, weights="distance"),
    BaggingRegressor(KNeighborsRegressor(3), max_features=0.6, **FEW),
    BaggingClassifier(KNeighborsClassifier(3), **FEW),
    make_pipeline(
        SelectKBest(f_regression, k=3),
        QuantileTransformer(n_quantiles=9),
        RandomForestRegressor(**FEW),
    ),
    make_pipeline(GradientBoostingRegressor(n_estimators=4)),
    GridSearchCV(
        make_pipeline(StandardScaler(), RandomForestRegressor(**FEW)),
        {"randomforestregressor__max_depth": [2, 4]},
        cv=2,
    ),
    VotingRegressor(
        [("p", make_pipeline(StandardScaler(), Ridge())), ("k", KNeighborsRegressor())]
    ),
    FrozenEstimator(Ridge()),
]
WEIGHTED = TREES + FORESTS + BOOSTING + OTHERS
