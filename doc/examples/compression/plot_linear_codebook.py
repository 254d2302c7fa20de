"""
A codebook that does not die
============================

Digits become one integer each, by an autoencoder with a codebook in its middle. A plain
codebook trains the words that were taken; a linear one is a layer on frozen random
vectors, and moves all of them.
"""

# %%
# Where the words are
# -------------------
# Latent vectors of digits, and the 512 words, in the plane that shows most of the words
# that were taken. Words of the plain codebook that no digit took are where they began, in
# the middle; those of the linear codebook came along.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from minimalml.compression import SimVectorQuantizer

X, _ = load_digits(return_X_y=True)
models = {
    title: SimVectorQuantizer(512, max_epochs=50, random_state=0, codebook=kind).fit(X)
    for title, kind in (("plain", "free"), ("linear", "linear"))
}
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for ax, (title, model) in zip(axes, models.items(), strict=True):
    latents, words = model.encode(X), model.codebook_
    taken = model.code_counts_ > 0
    plane = PCA(2).fit(words[taken])
    ax.scatter(*plane.transform(latents).T, s=3, color="0.8", label="digits")
    ax.scatter(
        *plane.transform(words[~taken]).T,
        s=6,
        color="tab:blue",
        label="words never taken",
    )
    ax.scatter(
        *plane.transform(words[taken]).T, s=12, color="tab:red", label="words taken"
    )
    ax.set(title=f"{title}: {taken.sum()} of 512 words in use", xticks=[], yticks=[])
    ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
axes[0].legend(loc="best")

# %%
# Digits from one integer each
# ----------------------------

for title, model in models.items():
    error = -model.score(X) / X.var(axis=0).mean()
    print(f"{title}: perplexity {model.perplexity_:.0f}, error {error:.3f}")

model = models["linear"]
figure, axes = plt.subplots(2, 10, figsize=(8, 1.9), layout="constrained")
for row, images in zip(
    axes, (X, model.inverse_transform(model.predict(X))), strict=True
):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r")
        ax.set_axis_off()
figure.suptitle("digits, and what is left of them in 9 bits")

plt.show()
