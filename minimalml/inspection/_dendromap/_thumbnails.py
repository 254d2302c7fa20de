"""Images of any kind made into square thumbnails of bytes, and PNG files of these."""

import base64
import struct
import zlib
from os import PathLike

import numpy as np
from sklearn.utils import gen_batches

from minimalml._core.optional import import_optional

TILES_ACROSS = 64  # in a sprite, and as many down


def thumbnail(image, size, where):
    """Return an image as (size, size) or (size, size, 3) bytes, on white if it is oblong.

    ``image`` is an array of bytes or of floats from 0 to 1, a path, or an image of Pillow.
    """
    pixels = _as_bytes(image, where)
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    scale = size / max(height, width)
    rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
    small = np.einsum(
        "ih,hwc,jw->ijc", _areas(height, rows), pixels.reshape(height, width, -1),
        _areas(width, columns), optimize=True,
    )  # fmt: skip
    made = np.full((size, size, small.shape[2]), 255, dtype=np.uint8)
    top, left = (size - rows) // 2, (size - columns) // 2
    made[top : top + rows, left : left + columns] = np.rint(small)
    return made.reshape(size, size, *pixels.shape[2:])


def _as_bytes(image, where):
    if isinstance(image, str | PathLike):
        pillow = import_optional("PIL.Image", who="images by path", extra="plot")
        with pillow.open(image) as opened:
            return _as_bytes(opened.convert("RGB"), where)
    if hasattr(image, "convert"):  # Pillow's, of any mode
        image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    pixels = np.asarray(image)
    if (
        pixels.ndim not in (2, 3)
        or 0 in pixels.shape
        or pixels.shape[2:] not in ((), (3,))
    ):
        raise ValueError(
            f"{where} must have shape (h, w) or (h, w, 3), got {pixels.shape}."
        )
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f" or not (0 <= pixels.min() and pixels.max() <= 1):
        raise ValueError(
            f"{where} must hold bytes or floats from 0 to 1, got {pixels.dtype} from "
            f"{pixels.min()} to {pixels.max()}."
        )
    return np.rint(255 * pixels).astype(np.uint8)


def _areas(n, m):
    """Return (m, n) weights: which share of each new pixel lies over each old one."""
    edges = np.arange(m + 1) * (n / m)
    low, high = edges[:-1, None], edges[1:, None]
    old = np.arange(n)
    covered = np.minimum(high, old + 1) - np.maximum(low, old)
    return np.maximum(covered, 0.0) * (m / n)


def image_at(images, row, size):
    """Return the thumbnail of one row's image."""
    return thumbnail(images[row], size, f"images[{row}]")


def sprites(images, rows, size):
    """Return PNG data URIs that hold the thumbnails of ``rows``, side by side."""
    made = []
    for part in gen_batches(len(rows), TILES_ACROSS**2):
        tiles = [image_at(images, row, size) for row in rows[part]]
        n_down = -(-len(tiles) // TILES_ACROSS)
        is_grey = all(tile.ndim == 2 for tile in tiles)
        sheet = np.full(
            (n_down * TILES_ACROSS, size, size, 1 if is_grey else 3), 255, np.uint8
        )
        for i, tile in enumerate(tiles):
            sheet[i] = tile.reshape(size, size, -1)  # a grey one fills all three
        sheet = sheet.reshape(n_down, TILES_ACROSS, size, size, -1).swapaxes(1, 2)
        png = encode_png(sheet.reshape(n_down * size, TILES_ACROSS * size, -1))
        made.append("data:image/png;base64," + base64.b64encode(png).decode())
    return made


def encode_png(pixels):
    """Return the PNG file of (h, w, 1) or (h, w, 3) bytes."""
    height, width, n_channels = pixels.shape
    kind = {1: 0, 3: 2}[n_channels]

    def chunk(name, content):
        whole = name + content
        return (
            struct.pack(">I", len(content))
            + whole
            + struct.pack(">I", zlib.crc32(whole))
        )

    # each row begins with the number of its filter, none
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))
    return b"".join([
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(rows.tobytes())),
        chunk(b"IEND", b""),
    ])  # fmt: skip
