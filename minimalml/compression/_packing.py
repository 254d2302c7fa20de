"""Codes of any number of bits, packed into bytes without gaps."""

import numpy as np

# Bits that are spread out at a time, as one byte each and then eight.
BLOCK_BITS = 1 << 20


def pack_codes(codes, n_bits):
    """Pack codes into bytes.

    Code after code, row after row, its bits from the least significant; a byte's bits
    likewise. Only the last byte is padded, with zeros. O(bits) time.

    Parameters
    ----------
    codes : array-like of int of shape (n_codes,) or (n_rows, n_groups)
        At least 0.

    n_bits : int or array-like of int of shape (n_groups,)
        Bits of every code, or of those of each group, 0 to 64.

    Returns
    -------
    ndarray of uint8 of shape (ceil(bits / 8),)

    Raises
    ------
    ValueError
        If a code does not fit.

    Examples
    --------
    >>> from minimalml.compression import pack_codes, unpack_codes
    >>> pack_codes([1, 2, 3, 0, 3], 2)
    array([57,  3], dtype=uint8)
    >>> unpack_codes(pack_codes([1, 2, 3, 0, 3], 2), 5, 2)
    array([1, 2, 3, 0, 3], dtype=uint64)
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" and codes.size:
        raise TypeError(f"codes must be integers, got {codes.dtype}.")
    widths = _checked_widths(n_bits)
    n_groups = codes.shape[1] if codes.ndim == 2 else 1
    if codes.ndim not in (1, 2) or n_groups != len(widths):
        raise ValueError(
            f"codes must have shape (n_codes,) with one n_bits, or a column for each of "
            f"{len(widths)}, got {codes.shape}."
        )
    table = codes.reshape(-1, n_groups)
    highest = np.array([2 ** int(width) - 1 for width in widths], dtype=np.uint64)
    if table.size and (table.min() < 0 or (table.astype(np.uint64) > highest).any()):
        raise ValueError(
            f"codes must be from 0 to 2**n_bits - 1, got {table.min()} to {table.max()} "
            f"for {widths.tolist()} bits."
        )
    groups, shifts = _bits_of_row(widths)
    parts = [np.empty(0, dtype=np.uint8)]
    for rows in _blocks(len(table), len(groups)):
        bits = (table[rows].astype(np.uint64)[:, groups] >> shifts) & np.uint64(1)
        parts.append(np.packbits(bits.astype(np.uint8).ravel(), bitorder="little"))
    return np.concatenate(parts)


def unpack_codes(data, n_codes, n_bits):
    """Unpack what `pack_codes` packed.

    Parameters
    ----------
    data : array-like of uint8
        The bytes.

    n_codes : int
        Number of codes, or of rows with several groups.

    n_bits : int or array-like of int of shape (n_groups,)
        As they were packed with.

    Returns
    -------
    ndarray of uint64 of shape (n_codes,) or (n_codes, n_groups)

    Raises
    ------
    ValueError
        If ``data`` has another number of bytes.
    """
    data, widths = np.asarray(data, dtype=np.uint8), _checked_widths(n_bits)
    groups, shifts = _bits_of_row(widths)
    n_bytes = -(-n_codes * len(groups) // 8)
    if data.shape != (n_bytes,):
        raise ValueError(
            f"{n_codes} codes of {widths.tolist()} bits are {n_bytes} bytes, got an array "
            f"of shape {data.shape}."
        )
    table = np.zeros((n_codes, len(widths)), dtype=np.uint64)
    stored = np.flatnonzero(widths)
    starts = np.searchsorted(groups, stored)
    for rows in _blocks(n_codes, len(groups)):
        n_rows = rows.stop - rows.start
        first, n_block = rows.start * len(groups) // 8, n_rows * len(groups)
        some = data[first : first - (-n_block // 8)]
        bits = np.unpackbits(some, count=n_block, bitorder="little")
        bits = bits.reshape(n_rows, -1).astype(np.uint64) << shifts
        table[rows, stored] = np.add.reduceat(bits, starts, axis=1)
    return table if np.ndim(n_bits) else table[:, 0]


def _checked_widths(n_bits):
    widths = np.atleast_1d(n_bits)
    if widths.ndim != 1 or widths.dtype.kind not in "iu" or not len(widths):
        raise ValueError(
            f"n_bits must be an integer or a list of them, got {n_bits!r}."
        )
    if widths.min() < 0 or widths.max() > 64:
        raise ValueError(f"n_bits must be from 0 to 64, got {n_bits!r}.")
    return widths


def _bits_of_row(widths):
    """For each bit of a row of codes, which code it is of, and its place there."""
    groups = np.repeat(np.arange(len(widths)), widths)
    shifts = np.arange(len(groups)) - np.repeat(np.cumsum(widths) - widths, widths)
    return groups, shifts.astype(np.uint64)


def _blocks(n_rows, bits_per_row):
    """Slices of rows that begin at whole bytes."""
    if not bits_per_row:
        return
    size = 8 * max(1, BLOCK_BITS // bits_per_row // 8)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
