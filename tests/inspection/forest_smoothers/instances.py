"""What scikit-learn's checks and the properties run on."""

from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from minimalml.inspection import SmootherAnalysis

INSTANCES = {
    "SmootherAnalysis": [
        SmootherAnalysis(RandomForestRegressor(10, bootstrap=False)),
        SmootherAnalysis(DecisionTreeClassifier(max_depth=4, random_state=0)),
    ]
}
