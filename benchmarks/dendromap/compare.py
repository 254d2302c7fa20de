"""Ward's tree beside SciPy, scikit-learn and fastcluster; a page beside one of <img> tags."""

import base64
import io

import numpy as np
from scipy.cluster.hierarchy import linkage
from sklearn.cluster import AgglomerativeClustering

from benchmarks.compare import Comparison
from minimalml.inspection import DendroMap

N_FEATURES, SIDE = 64, 28


def rows(n):
    """Return n rows around 20 centres."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, N_FEATURES))
    X[:, :10] += 3 * rng.normal(size=(20, 10))[rng.integers(20, size=n)]
    return X


def fastcluster_vector(X):
    import fastcluster

    fastcluster.linkage_vector(X, "ward")


def fitted_with_images(n):
    images = np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE)).astype(np.uint8)
    return DendroMap().fit(rows(n)), images


def image_tags(data):
    from PIL import Image

    tags = []
    for image in data[1]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        text = base64.b64encode(file.getvalue()).decode()
        tags.append(f'<img src="data:image/png;base64,{text}">')
    "".join(tags)


COMPARISONS = [
    Comparison(
        title=f"Ward's tree of n rows of {N_FEATURES}",
        setup=rows,
        ours=lambda X: DendroMap().fit(X),
        peers={
            "fastcluster.linkage_vector": fastcluster_vector,
            "scipy linkage": lambda X: linkage(X, "ward"),
            "AgglomerativeClustering": lambda X: AgglomerativeClustering(8).fit(X),
        },
        sizes=(2_000, 4_000, 8_000, 16_000),
        peer_limits={"scipy linkage": 8_000, "AgglomerativeClustering": 8_000},
        repeats=1,
        target="two threads no slower than fastcluster, one at most 1.5 times its time",
    ),
    Comparison(
        title=f"Ward's tree of many rows of {N_FEATURES}, for which SciPy needs 14.4 GB",
        setup=rows,
        ours=lambda X: DendroMap().fit(X),
        peers={},
        sizes=(30_000, 60_000),
        threads=(2,),
        repeats=1,
        target="60,000 rows in 150 s, with less than 200 MB beside them",
    ),
    Comparison(
        title=f"A page of n images of {SIDE} x {SIDE}",
        setup=fitted_with_images,
        ours=lambda data: data[0].to_html(images=data[1]),
        peers={"one PNG each in <img>, Pillow, without a tree": image_tags},
        sizes=(1_000, 10_000),
        threads=(1,),
        target="10,000 images in 5 s",
    ),
]
