"""
A photograph in fractions of a bit
==================================

Rows of numbers become bytes and rows again, at any rate, without a codebook.
"""

# %%
# Directions that need no list
# ----------------------------
# Integer points whose absolute values sum to a fixed number, the pulses, lie on the faces
# of a pyramid; seen from its centre they are directions. Arithmetic numbers them.
#
# Beside them, a photograph: patches of 8 x 8 pixels in three colours are rows of 192
# numbers. On principal axes most of the bits go to the few that vary.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from minimalml.compression import PyramidQuantizer, pyramid_decode, pyramid_size

image = load_sample_image("china.jpg")[100:356, 200:456] / 255
patches = image.reshape(32, 8, 32, 8, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 192)


def as_image(patches):
    blocks = patches.reshape(32, 32, 8, 8, 3).transpose(0, 2, 1, 3, 4)
    return blocks.reshape(256, 256, 3).clip(0, 1)


figure = plt.figure(figsize=(9, 4.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
ax = left.add_subplot(projection="3d")
points = pyramid_decode(np.arange(pyramid_size(3, 8)), 3, 8)
directions = points / np.linalg.norm(points, axis=1, keepdims=True)
is_seen = directions @ [1, -1, 0.7] > 0
ax.scatter(*directions[is_seen].T, s=8, c=np.flatnonzero(is_seen), cmap="viridis")
ax.view_init(elev=26, azim=-45)
ax.set(title=f"{len(points)} directions, by number", box_aspect=(1, 1, 1))
ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], zticks=[-1, 0, 1])
for ax, bits in zip(right.subplots(2, 2).flat, (None, 0.1, 0.3, 1.0), strict=True):
    if bits is None:
        title, shown = "8 bits a number", image
    else:
        quantizer = PyramidQuantizer(bits, rotation="pca").fit(patches)
        codes = quantizer.transform(patches)
        shown = as_image(quantizer.inverse_transform(codes))
        title = f"{bits} bits: {codes.nbytes / 1000:.1f} kB"
    ax.imshow(shown)
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()

# %%
# Error against bits
# ------------------
# Where columns go together, axes that are learnt are worth three bits a number. On
# Gaussian rows nothing can be learnt: the random rotation does as well, and stays within a
# factor of two of what no code can beat.

rates = np.array([0.5, 1, 2, 3, 4])
noise = np.random.default_rng(0).normal(size=(1000, 192))
figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True, layout="constrained")
for ax, (title, rows) in zip(
    axes, {"patches": patches, "Gaussian rows": noise}.items(), strict=True
):
    for rotation in ("hadamard", "pca"):
        fitted = [
            PyramidQuantizer(bits, rotation=rotation, random_state=0).fit(rows)
            for bits in rates
        ]
        stored = [quantizer.bits_per_row_ / 192 for quantizer in fitted]
        errors = [quantizer.relative_error_ for quantizer in fitted]
        ax.semilogy(stored, errors, "o-", label=f'rotation="{rotation}"')
    ax.set(title=title, xlabel="bits a number")
axes[1].semilogy(rates, 4.0**-rates, ":", color="0.5", label="bound of any code")
axes[0].set_ylabel("share of the variance lost")
axes[1].legend()

plt.show()
