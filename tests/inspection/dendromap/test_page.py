"""The page: what is in it, its layout under Node, and its use in a real browser."""

import base64
import html
import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from minimalml.inspection import DendroMap, DendroTree, treemap_layout, ward_linkage
from minimalml.inspection._dendromap import _dendromap
from minimalml.inspection._dendromap._thumbnails import encode_png, thumbnail

SCRIPT = Path(_dendromap.__file__).with_name("dendromap.js")
NAMES = np.array(["</script><b>", "<script>alert(1)</script>"])


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=90)
    return DendroMap().fit(
        rng.normal(size=(90, 3)), NAMES[y], NAMES[y ^ (rng.random(90) < 0.2)]
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (90, 12, 12)).astype(np.uint8)


def data_of(page):
    pattern = '<script type="application/json" id="dendromap-data">(.*?)</script>'
    return json.loads(re.search(pattern, page, re.S).group(1))


def decoded(text, kind):
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def pixels_of(png):
    """Decode a PNG file of this library: one part, no filter."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, _, kind = struct.unpack(">IIBB", png[16:26])
    size = struct.unpack(">I", png[33:37])[0]
    assert png[37:41] == b"IDAT"
    rows = np.frombuffer(zlib.decompress(png[41 : 41 + size]), np.uint8)
    return rows.reshape(height, -1)[:, 1:].reshape(height, width, 1 if kind == 0 else 3)


def test_what_is_in_the_page_comes_back_to_the_bit(model, images, tmp_path):
    page = model.to_html(
        tmp_path / "map.html", images=images, image_size=12, n_similar=4
    )
    assert (tmp_path / "map.html").read_text("utf-8") == page
    data = data_of(page)
    np.testing.assert_array_equal(decoded(data["left"], "<i4"), model.linkage_[:, 0])
    np.testing.assert_array_equal(decoded(data["right"], "<i4"), model.linkage_[:, 1])
    np.testing.assert_array_equal(decoded(data["height"], "<f8"), model.linkage_[:, 2])
    np.testing.assert_array_equal(decoded(data["leaf_order"], "<i4"), model.leaf_order_)
    codes = [
        np.array(data["class_names"])[decoded(data[n], "<i4")] for n in ("y", "y_pred")
    ]
    assert (codes[0] != codes[1]).sum() == model.tree_.n_errors[-1]
    near = (
        NearestNeighbors(n_neighbors=4).fit(model._X).kneighbors(return_distance=False)
    )
    np.testing.assert_array_equal(decoded(data["similar"], "<i4").reshape(-1, 4), near)
    (uri,), tiles = data["sprites"], decoded(data["tile"], "<i4")
    sheet = pixels_of(base64.b64decode(uri.split(",")[1]))
    for row in (0, 41, 89):
        i, j = divmod(int(tiles[row]), 64)
        tile = sheet[12 * i : 12 * i + 12, 12 * j : 12 * j + 12, 0]
        np.testing.assert_array_equal(tile, images[row])


def test_the_page_needs_nothing_and_believes_no_name(model):
    page = model.to_html(title="a <b> & c")
    assert not re.search("https?://|//[a-z]|@import|url\\(", page.replace("// ", ""))
    assert "default-src 'none'" in page and "<title>a &lt;b&gt; &amp; c</title>" in page
    assert page.count("<script") == page.count("</script>") == 2
    assert data_of(page)["class_names"] == list(NAMES)
    assert "innerHTML" not in page
    assert "<title>{{data}}{{script}}</title>" in model.to_html(
        title="{{data}}{{script}}"
    )
    frame = page._repr_html_()
    assert (
        html.unescape(re.search('srcdoc="(.*?)" width', frame, re.S).group(1)) == page
    )


def test_more_rows_than_images_are_spread_over_the_leaves(model, images):
    with pytest.warns(UserWarning, match="30 of 90 images"):
        page = model.to_html(images=images, max_images=30)
    tiles = decoded(data_of(page)["tile"], "<i4")
    places = np.flatnonzero(tiles[model.leaf_order_] >= 0)
    np.testing.assert_array_equal(places, np.arange(30) * 3)


def test_thumbnails_are_means_of_areas(rng):
    image = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
    means = image.reshape(3, 2, 3, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(thumbnail(image, 3, "x"), means, atol=0.51)
    assert thumbnail(np.full((4, 8), 0.5), 16, "x").shape == (16, 16)
    oblong = thumbnail(np.zeros((4, 8)), 16, "x")
    assert (oblong[:4] == 255).all() and (oblong[4:12] == 0).all()
    np.testing.assert_array_equal(pixels_of(encode_png(image)), image)


def test_paths_and_images_of_pillow_are_read(tmp_path, rng):
    pillow = pytest.importorskip("PIL.Image")
    pixels = rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
    image = pillow.fromarray(pixels)
    image.save(tmp_path / "one.png")
    for given in (image, tmp_path / "one.png", str(tmp_path / "one.png")):
        np.testing.assert_array_equal(thumbnail(given, 5, "x"), pixels)
    assert thumbnail(image.convert("L"), 5, "x").ndim == 2
    np.testing.assert_array_equal(thumbnail(image.convert("RGBA"), 5, "x"), pixels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(images=np.zeros((3, 5, 5))), "images has 3 items but X has 90 rows"),
        (dict(images=np.full((90, 2, 2), 2.0)), r"images\[\d+\] must hold bytes or floats"),
        (dict(images=np.zeros((90, 2, 2, 4))), r"images\[\d+\] must have shape \(h, w\)"),
        (dict(images=np.zeros((90, 2, 2), dtype=int)), "bytes or floats from 0 to 1, got int64"),
        (dict(image_size=0), "image_size must be a positive integer, got 0"),
        (dict(rule="depth"), "rule must be one of"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.to_html(**options)


def test_no_prediction_leaves_errors_out():
    X = np.arange(6.0)[:, None]
    assert "y_pred" not in data_of(DendroMap().fit(X, np.ones(6)).to_html())
    one = data_of(DendroMap().fit([[1.0]]).to_html())
    assert one["n_leaves"] == 1 and "similar" not in one
    with pytest.raises(ValueError, match="rule='errors' needs y and y_pred"):
        DendroMap().fit(X).to_html(rule="errors")


def test_the_layout_of_the_page_is_that_of_python(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    rng, cases, expected = np.random.default_rng(0), [], []
    for _ in range(50):
        n = int(rng.integers(2, 300))
        tree = DendroTree(ward_linkage(rng.normal(size=(n, 2))))
        is_wrong = rng.random(n) < 0.3
        tree.count_errors(is_wrong)
        options = {
            "k": int(rng.integers(1, 60)), "rule": str(rng.choice(["breadth", "distance", "size", "errors"])),
            "width": float(rng.uniform(100, 2000)), "height": float(rng.uniform(100, 2000)),
            "node": int(rng.integers(n, 2 * n - 1)),
        }  # fmt: skip
        sizes = {
            "image_size": float(rng.uniform(5, 60)),
            "padding": 4.0,
            "label_height": 14.0,
        }
        cases.append({
            "left": tree.left[n:].tolist(), "right": tree.right[n:].tolist(),
            "height": tree.height[n:].tolist(), "order": tree.leaf_order.tolist(),
            "wrong": is_wrong.tolist(),
            "options": options | {"imageSize": sizes["image_size"], "padding": 4, "labelHeight": 14},
        })  # fmt: skip
        layout = treemap_layout(tree, **options, **sizes)
        expected.append({int(row[0]): row[1:] for row in zip(*layout, strict=True)})
    program = f"""
    const page = require({json.dumps(str(SCRIPT))});
    const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
    console.log(JSON.stringify(cases.map(({{left, right, height, order, wrong, options}}) =>
      page.layoutTree(page.makeTree(left, right, height, order, i => wrong[i]), options)
        .map(box => [box.node, ...box.box, box.isLeaf]))));
    """
    ran = subprocess.run(
        [node, "-e", program],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
    )
    for found, layout in zip(json.loads(ran.stdout), expected, strict=True):
        assert {row[0] for row in found} == layout.keys()
        for node_number, *box, is_leaf in found:
            np.testing.assert_allclose(box, layout[node_number][:4], atol=1e-9)
            assert is_leaf == layout[node_number][4]


def test_a_reader_zooms_searches_selects_and_types(model, images, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed")
    driver = Path(__file__).with_name("page_driver.js").read_text("utf-8")
    page = model.to_html(images=images, k=4, n_similar=3)
    path = tmp_path / "map.html"
    path.write_text(
        page.replace("</body>", f"<script>{driver}</script></body>"), "utf-8"
    )
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,800",
        "--virtual-time-budget=5000", "--dump-dom",
    ]  # fmt: skip
    ran = subprocess.run(
        [browser, *options, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    match = re.search('<pre id="said">(.*?)</pre>', ran.stdout, re.S)
    assert match, ran.stderr[-2000:]
    said = json.loads(html.unescape(match.group(1)))
    root = said["root"]
    assert root == 178 and said["out"] == root
    assert said["zoomed"] == model.tree_.left[root]
    assert said["found"] == [7, -1] and said["marked"] == 1
    assert said["status"] == 'nothing is called "nobody"'
    order = model.leaf_order_.tolist()
    after = order[(order.index(7) + 1) % 90]
    assert said["steps"] == [after, 7]
    assert 7 in model.tree_.members(said["entered"]) and said["entered"] != root
    assert said["k"] == 200 and said["rows"] == 3 and said["clicked"] in (0, 1)
    assert said["panel"].startswith("item 7, class ")
    assert said["colors"] > 50 and said["requests"] == 0
