"""
Where does the model fail?
==========================

A map of 1,797 digits by similarity, with the errors of a linear model: a treemap whose boxes are
nodes of Ward's tree, filled with images.
"""

# %%
# The map
# -------
# Out-of-fold predictions tell which digits the model gets wrong; they are framed.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from minimalml.inspection import DendroMap

digits = load_digits()
images = digits.images / 16
said = cross_val_predict(
    LogisticRegression(max_iter=100), digits.data / 16, digits.target, cv=3
)
model = DendroMap().fit(digits.data, digits.target, y_pred=said)
model.plot(14, images=images)

# %%
# The groups
# ----------
# ``find_underperforming`` goes through all nodes of the tree, and tests whether they hold more
# errors than chance would put there.

found = model.find_underperforming(n=4)
for node, size, errors, p in zip(
    found["node"], found["size"], found["n_errors"], found["p_adjusted"], strict=True
):
    print(f"node {node}: {errors} of {size} wrong, adjusted p {p:.1e}")

figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for ax, node in zip(axes, found["node"], strict=False):
    model.plot(4, node=int(node), images=images, image_size=60, ax=ax)
    ax.set_title(f"node {node}")

# %%
# The page
# --------
# The same map to click through: one file that needs neither a server nor a network, to be
# opened, mailed, or shown in a notebook.

page = model.to_html(images=images, k=14, title="Digits")  # a path first writes it
print(f"{len(page) / 1e6:.1f} MB")
plt.show()
