"""Accuracy and error against bits on disk, for all codecs: what a user decides by.

``python -m benchmarks.vector_quantization.curve`` prints two tables: a network for digits
(two hidden matrices of 256 columns), and the last layer of EfficientNet-Lite0 (1000 x 1280),
calibrated on features of Fashion-MNIST images. For the second, accuracy is the share of test
images whose most likely ImageNet class stays. Bits are those of the file: packed codes,
codebooks, scales and zip headers, over the weights that were encoded.
"""

import time
from io import BytesIO

import numpy as np

from benchmarks.vector_quantization.protocol import (
    UniformWithoutFeedback,
    VectorWithoutFeedback,
    network,
    pre_activations,
)
from minimalml.compression import (
    PyramidCodec,
    UniformCodec,
    VectorCodec,
    WeightQuantizer,
)

WORDS = ((4, 64), (4, 256), (2, 64), (2, 256), (1, 64), (1, 256))
CODECS = {
    "round to nearest": [UniformWithoutFeedback(bits) for bits in (2, 3, 4, 6, 8)],
    "k-means, a layer's numbers": [
        VectorWithoutFeedback(1, 2**bits, n_refinements=0, random_state=0)
        for bits in (2, 3, 4, 6, 8)
    ],
    "levels, feedback (GPTQ)": [UniformCodec(bits) for bits in (2, 3, 4, 6, 8)],
    "words, feedback (VPTQ)": [VectorCodec(v, k, random_state=0) for v, k in WORDS],
    "pyramid, feedback (PVQ)": [
        PyramidCodec(bits, 16 if bits < 4 else 8 if bits < 8 else 4, random_state=0)
        for bits in (1.5, 2, 3, 4, 6, 8)
    ],
}


def bits_on_disk(quantizer):
    """Return bits of the file a weight, without what is not encoded."""
    file = BytesIO()
    quantizer.save(file)
    encoded = sum(weight.nbytes for weight in quantizer.encoded_.values())
    others = quantizer.size_bytes_ - encoded
    n_weights = sum(np.prod(weight.shape) for weight in quantizer.encoded_.values())
    return 8 * (file.getbuffer().nbytes - others) / n_weights


def digits(codec):
    """Return bits, accuracy and error of the second layer, means of three networks."""
    rows = []
    for seed in range(3):
        model, X, X_test, y_test = network(seed)
        quantizer = WeightQuantizer(model, codec, exclude="coefs_.2").fit(X)
        wanted, found = (
            pre_activations(m, X_test)[1] for m in (model, quantizer.estimator_)
        )
        error = np.mean((wanted - found) ** 2) / wanted.var()
        rows.append([bits_on_disk(quantizer), quantizer.score(X_test, y_test), error])
    return np.mean(rows, axis=0)


def last_layer():
    """Return EfficientNet's last layer and features that reach it, to fit and to test."""
    import torch

    from benchmarks._data import efficientnet_lite0_state
    from benchmarks._features import image_features

    state = efficientnet_lite0_state()
    layer = torch.nn.Linear(1280, 1000)
    layer.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    X, _, X_test, _ = image_features()
    return layer, X, torch.as_tensor(X_test)


def efficientnet(data, codec):
    """Return bits, share of images whose class stays, and error of the logits."""
    import torch

    layer, X, X_test = data
    quantizer = WeightQuantizer(layer, codec).fit(X)
    with torch.no_grad():
        wanted, found = (m(X_test).numpy() for m in (layer, quantizer.estimator_))
    stays = np.mean(wanted.argmax(axis=1) == found.argmax(axis=1))
    error = np.mean((wanted - found) ** 2) / wanted.var()
    return bits_on_disk(quantizer), stays, error


def print_table(title, measure):
    print(
        f"\n{title}\n{'codec':<28} {'bits on disk':>12} {'accuracy':>9} {'error':>9} {'s':>6}"
    )
    for name, codecs in CODECS.items():
        for codec in codecs:
            start = time.perf_counter()
            bits, accuracy, error = measure(codec)
            seconds = time.perf_counter() - start
            print(
                f"{name:<28} {bits:>12.2f} {accuracy:>9.4f} {error:>9.5f} {seconds:>6.1f}",
                flush=True,
            )


def main():
    print_table("Digits, 64-256-256-10, 3 seeds", digits)
    data = last_layer()
    print_table(
        "EfficientNet-Lite0's last layer", lambda codec: efficientnet(data, codec)
    )


if __name__ == "__main__":
    main()
