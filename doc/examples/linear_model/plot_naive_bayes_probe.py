"""
From how many labels on is logistic regression better?
======================================================

Naive Bayes with a shared variance and logistic regression are both linear classifiers.
With few labels the first is better, with many the second. The curve finds where they
cross on *your* data.
"""

# %%
# Both are fitted to the same subsets of growing size, 10 for each size, and scaled on
# them: logistic regression needs it, and the smoothing of naive Bayes is relative to the
# largest variance, so features in very different units need it too. A quarter of the rows
# is held out, once: on so few rows another quarter moves the crossover, and with a quarter
# of its own for each of 30 repeats it is at 28 labels.
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from minimalml.linear_model import NaiveBayesProbe, RegimeCurveDisplay

X, y = load_breast_cancer(return_X_y=True)
display = RegimeCurveDisplay.from_estimators(
    make_pipeline(MinMaxScaler(), NaiveBayesProbe()),
    make_pipeline(MinMaxScaler(), LogisticRegression()),
    X,
    y,
    train_sizes=[6, 10, 20, 40, 100, 300],
    n_repeats=10,
    stratify=True,
    random_state=0,
)
_ = display.ax_.set_title("Breast cancer, 30 features")

# %%
# The same classifier from a stream: batches come in any order, here sorted by class, so
# that each batch lacks one. Nothing of a batch is kept but sums.
import numpy as np

stream = NaiveBayesProbe()
for batch in np.array_split(np.argsort(y), 10):
    stream.partial_fit(X[batch], y[batch], classes=[0, 1])
whole = NaiveBayesProbe().fit(X, y)
print("largest difference of a weight:", np.abs(stream.coef_ - whole.coef_).max())

# %%
# Exact cross-validation reads each row twice, however many folds there are; here 569, one
# for each row. Beside that a fold costs its scoring, no fit.
from sklearn.model_selection import LeaveOneOut

from minimalml.linear_model import cross_validate_naive_bayes

scores = cross_validate_naive_bayes(X, y, cv=LeaveOneOut())
print(f"leave-one-out accuracy {scores.mean():.3f} over {len(scores)} folds")
