"""The tree as arrays, its cuts and boxes, groups of errors, and the estimator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import hypergeom
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.inspection import DendroMap, DendroTree, treemap_layout, ward_linkage
from minimalml.inspection._dendromap._treemap_layout import cells_of, shown_members


def rows(seed, n=60):
    return np.random.default_rng(seed).normal(size=(n, 3))


def chain(n):
    """Linkage in which one row joins after the other."""
    joins = np.arange(n - 2)
    return np.column_stack([
        np.r_[0, n + joins], np.arange(1, n), np.arange(1.0, n), np.arange(2, n + 1)
    ])  # fmt: skip


@pytest.mark.parametrize(
    "matrix", [ward_linkage(rows(0)), chain(5000), np.empty((0, 4))]
)
def test_nodes_are_slices_of_one_order(matrix):
    tree = DendroTree(matrix)
    n = tree.n_leaves
    np.testing.assert_array_equal(np.sort(tree.leaf_order), np.arange(n))
    np.testing.assert_array_equal(tree.size[n:], matrix[:, 3])
    for node in range(n, min(2 * n - 1, n + 40)):
        parts = [
            set(tree.members(child)) for child in (tree.left[node], tree.right[node])
        ]
        assert set(tree.members(node)) == parts[0] | parts[1]
        assert tree.parent[tree.left[node]] == tree.parent[tree.right[node]] == node


@given(st.integers(0, 99), st.integers(1, 70))
def test_a_cut_by_distance_is_that_of_scipy(seed, k):
    matrix = ward_linkage(rows(seed))
    model = DendroMap(k, linkage=matrix).fit(rows(seed))
    expected = fcluster(matrix, k, "maxclust")
    assert adjusted_rand_score(model.labels_, expected) == 1.0
    assert model.labels_.max() == min(k, 60) - 1
    # numbered along the leaves
    assert (np.diff(model.labels_[model.leaf_order_]) >= 0).all()


def test_rules_split_what_they_say():
    tree = DendroTree(np.array([
        [0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 8, 3.0, 3], [7, 9, 9.0, 5], [5, 6, 9.5, 2],
        [10, 11, 12.0, 7],
    ]))  # fmt: skip
    tree.count_errors(np.array([1, 1, 0, 0, 0, 0, 1]))
    assert tree.cut(2).tolist() == [10, 11]
    assert tree.cut(3, "distance").tolist() == [10, 5, 6]  # 9.5 is above 9
    assert tree.cut(3, "size").tolist() == [7, 9, 11]
    assert tree.cut(3, "breadth").tolist() == [7, 9, 11]
    assert tree.cut(4, "errors").tolist() == [0, 1, 9, 11]
    assert tree.cut(99, node=9).tolist() == [4, 2, 3]
    assert tree.n_errors[[7, 9, 10, 11, 12]].tolist() == [2, 0, 2, 1, 3]


@given(
    st.integers(0, 99), st.integers(1, 40), st.integers(200, 1500), st.integers(200, 1500),
    st.sampled_from(["breadth", "distance", "size"]), st.integers(8, 40),
)  # fmt: skip
def test_boxes_are_apart_and_hold_whole_thumbnails(seed, k, width, height, rule, side):
    tree = DendroTree(ward_linkage(rows(seed)))
    layout = treemap_layout(
        tree, k, rule=rule, width=width, height=height, image_size=side
    )
    boxes = dict(zip(layout.node.tolist(), np.stack(layout[1:5], axis=1), strict=True))
    shown = np.array([boxes[node] for node in layout.node[layout.is_leaf]])
    assert len(shown) <= k
    assert tree.size[layout.node[layout.is_leaf]].sum() == 60
    for i, (x0, y0, x1, y1) in enumerate(shown):
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        meets = (shown[:, 0] < x1) & (shown[:, 2] > x0)
        meets &= (shown[:, 1] < y1) & (shown[:, 3] > y0)
        assert meets.nonzero()[0].tolist() == [i]
    order = {node: place for place, node in enumerate(layout.node)}
    for node in layout.node[~layout.is_leaf]:
        left, right = int(tree.left[node]), int(tree.right[node])
        assert order[node] < order[left] and order[node] < order[right]
        (x0, y0, x1, y1), (a0, b0, _, b1) = boxes[left], boxes[right]
        is_wide = b0 == y0 and b1 == y1 and a0 > x1
        inner = x1 - x0 - 8 if is_wide else y1 - y0 - 8 - 14
        assert inner % side == 0
        box, parent = np.array([x0, y0, x1, y1]), boxes[int(node)]
        cells = [
            (part[2] - part[0] - 8) // side
            if is_wide
            else (part[3] - part[1] - 22) // side
            for part in (box, boxes[right])
        ]
        share = tree.size[left] / tree.size[node]
        smaller = min(share, 1 - share)
        fewer = cells[int(share > 0.5)]
        assert abs(fewer - max(1, smaller * sum(cells))) <= 1
        assert parent[0] + 4 <= x0 and parent[1] + 18 <= y0


@given(st.integers(1, 300), st.integers(0, 300))
def test_cells_show_all_or_an_even_choice(n_members, n_cells):
    shown = shown_members(n_members, n_cells)
    assert len(shown) == min(n_members, n_cells)
    assert (np.diff(shown) > 0).all() and (shown < n_members).all()
    if len(shown) > 1:
        assert np.diff([*shown, n_members]).max() <= -(-n_members // len(shown))
    assert cells_of((0, 0, 3, 3), 28, 4, 14)[:2] == (0, 0)


@pytest.fixture(scope="module")
def failing_digits():
    """Digits, predictions with one node all wrong, and its rows."""
    X, y = load_digits(return_X_y=True)
    said = cross_val_predict(LogisticRegression(max_iter=200), X / 16, y, cv=3)
    tree = DendroTree(ward_linkage(X))
    node = np.flatnonzero((tree.size >= 50) & (tree.size <= 70))[3]
    planted = tree.members(node)
    said[planted] = (y[planted] + 1) % 10
    return X, y, said, planted, node


def test_a_planted_failure_is_found_first(failing_digits):
    X, y, said, planted, _ = failing_digits
    model = DendroMap().fit(X, y, y_pred=said)
    found = model.find_underperforming(n=5)
    group = set(model.tree_.members(found["node"][0]))
    assert len(group & set(planted)) / len(group | set(planted)) >= 0.8
    assert found["p_adjusted"][0] < 0.01
    assert found["error_rate"][0] == found["n_errors"][0] / found["size"][0] > 0.8
    total = (y != said).sum()
    expected = [
        hypergeom.sf(e - 1, len(y), total, n)
        for e, n in zip(found["n_errors"], found["size"], strict=True)
    ]
    np.testing.assert_allclose(found["p_value"], expected)
    assert (np.diff(found["excess_z"]) <= 0).all()
    members = [set(model.tree_.members(node)) for node in found["node"]]
    assert not any(a & b for i, a in enumerate(members) for b in members[:i])
    for all_alike in (y, y + 1):  # right, and wrong: no group is worse than the rest
        found = DendroMap().fit(X, y, y_pred=all_alike).find_underperforming()
        assert {len(column) for column in found.values()} == {0}


def test_errors_may_lead_the_cut(failing_digits):
    X, y, said, _, _ = failing_digits
    model = DendroMap(12, rule="errors").fit(X, y, y_pred=said)
    rates = [
        (y != said)[model.labels_ == label].mean()
        for label in range(12)
        if (model.labels_ == label).sum() >= 20
    ]
    assert max(rates) > 0.9


def test_a_ready_linkage_and_a_search_in_a_pipeline():
    X = rows(0)
    ready = linkage(X, "average")
    model = DendroMap(3, linkage=ready).fit(X)
    np.testing.assert_array_equal(model.linkage_, ready)
    model = make_pipeline(StandardScaler(), DendroMap())

    def spread(model, X):  # a toy score of clusters
        return -len(np.unique(model[-1].labels_))

    search = GridSearchCV(model, {"dendromap__n_clusters": [2, 9]}, scoring=spread)
    assert search.fit(X).best_params_ == {"dendromap__n_clusters": 2}


def test_the_picture_shows_images_and_errors(failing_digits):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    X, y, said, _, node = failing_digits
    model = DendroMap().fit(X, y, y_pred=said)
    ax = model.plot(6, images=load_digits().images / 16)
    assert len(ax.texts) == 6 and "right" in ax.texts[0].get_text()
    pixels = ax.images[0].get_array()
    assert (pixels == (213, 94, 0)).all(axis=2).any() and (pixels == 0).all(
        axis=2
    ).any()
    _, own = pyplot.subplots()
    assert model.plot(3, node=int(node), ax=own) is own
    pyplot.close("all")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: DendroMap().fit(X, np.ones(60), ["a"] * 60), "labels of one kind"),
        (lambda X: DendroMap().fit(X, np.ones(3)), "inconsistent numbers of samples"),
        (lambda X: DendroMap().fit(X, np.full(60, np.nan)), "y contains NaN"),
        (lambda X: DendroMap(rule="errors").fit(X), "needs y and y_pred"),
        (lambda X: DendroMap(rule="depth").fit(X), "'rule' parameter"),
        (lambda X: DendroMap().fit(X).find_underperforming(), "needs y and y_pred"),
        (lambda X: DendroMap().fit(X).labels(0), "k must be an integer of at least 1"),
        (lambda X: DendroMap().fit(X).tree_.members(119), "node must be an integer from 0 to 118"),
        (lambda X: DendroMap(linkage=chain(9)).fit(X), r"shape \(59, 4\) for 60 rows"),
        (lambda X: DendroMap(linkage=-chain(60)).fit(X), "no valid linkage"),
        (lambda X: DendroTree(chain(4)).cut(2, "depth"), "rule must be one of"),
        (lambda X: treemap_layout(DendroTree(chain(4)), image_size=0), "image_size must be above 0"),
        (lambda X: treemap_layout(DendroTree(chain(4)), padding=-1), "padding must be at least 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(rows(0))


def test_sparse_rows_are_refused_with_a_hint():
    from scipy.sparse import eye_array

    with pytest.raises(TypeError, match="TruncatedSVD"):
        DendroMap().fit(eye_array(5).tocsr())
