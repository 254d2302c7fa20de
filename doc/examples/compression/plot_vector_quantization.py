"""
A network in two bits a weight
==============================

A network for digits is trained as usual. Then its weights are stored in a few bits each,
with some hundred rows without labels, and no training.
"""

# %%
# Error against bits
# ------------------
# What is stored counts: codes, levels, codebooks. Rounding for itself is the worst; error
# feedback lets later weights make up for the errors of earlier ones; words of a learnt
# codebook get more out of a bit.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from minimalml.compression import UniformCodec, VectorCodec, WeightQuantizer

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0)
network = MLPClassifier(
    hidden_layer_sizes=(128, 128), max_iter=300, tol=3e-3, random_state=0
)
network.fit(X, y)


def quantise(codec, rows):
    """Return bits a weight, and how far the network's logits moved."""
    small = WeightQuantizer(network, codec, exclude="coefs_.2").fit(rows)
    p, q = (np.log(model.predict_proba(X_test)) for model in (network, small))
    return small.bits_per_weight_, np.mean((p - q) ** 2) / p.var(), small


ways = {
    "levels, plain rounding": ([UniformCodec(bits) for bits in (1, 2, 3, 4)], None),
    "levels, error feedback": ([UniformCodec(bits) for bits in (1, 2, 3, 4)], X),
    "words of 4 weights": (
        [VectorCodec(4, k, random_state=0) for k in (8, 32, 128)],
        X,
    ),
    "words of 2 weights": (
        [VectorCodec(2, k, random_state=0) for k in (8, 32, 128)],
        X,
    ),
}
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, (codecs, rows) in ways.items():
    bits, errors, models = zip(
        *(quantise(codec, rows) for codec in codecs), strict=True
    )
    ax.semilogy(bits, errors, "o-", label=name)
ax.set(xlabel="stored bits a weight", ylabel="error of the log-probabilities")
ax.legend()

# %%
# The same through the eyes of the user: accuracy and bytes.

_, _, small = quantise(VectorCodec(4, 32, random_state=0), X)
print(
    f"accuracy {network.score(X_test, y_test):.3f} -> {small.score(X_test, y_test):.3f}"
)
print(f"{small.size_bytes_} bytes, {small.compression_ratio_:.0f} times fewer")

# %%
# What a codebook looks like
# --------------------------
# Words of two weights can be drawn: they are dense where weights are.

encoded = small.encoded_["coefs_.1"]
pairs = WeightQuantizer(network, VectorCodec(2, 32, random_state=0)).fit(X)
book = pairs.encoded_["coefs_.1"].arrays["codebook"].astype(float)
scale = pairs.encoded_["coefs_.1"].arrays["scale"]
figure, ax = plt.subplots(figsize=(4, 4), layout="constrained")
weights = network.coefs_[1].T.reshape(-1, 2, 128).transpose(0, 2, 1).reshape(-1, 2)
ax.scatter(*weights.T, s=1, color="0.8", label="pairs of weights")
ax.scatter(*(book * scale).T, s=20, color="tab:red", label="words")
ax.set(aspect="equal", xlabel="weight of an output", ylabel="of the next output")
ax.legend(loc="upper right")

plt.show()
