"""
What the example shows
======================

Say in two lines what the reader learns.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_iris

from minimalml.ensemble import InfiniteCompute

X, _ = load_iris(return_X_y=True)
Z = InfiniteCompute().fit_transform(X)

# %%
# Say what the picture teaches.
figure, ax = plt.subplots()
ax.plot(X[:, 0], X[:, 1], "o", color="0.7", label="before")
ax.plot(Z[:, 0], Z[:, 1], "o", label="after")
ax.legend()
