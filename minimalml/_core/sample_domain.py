"""Two samples in one array: which rows are sources, and which are targets.

``sample_domain`` holds a number for each row, at least 0 for a source (a pool that is
chosen from, a distribution that is moved) and below 0 for a target. So both samples
travel together through pipelines, splits and searches.
"""

import numpy as np

from minimalml._core.arrays import to_numpy


def split_domains(sample_domain, n_rows):
    """Return the numbers of the source rows and of the target rows.

    Parameters
    ----------
    sample_domain : array-like of shape (n_rows,) or None
        At least 0: source; below 0: target. None: every row is both.

    n_rows : int
        Number of rows.

    Returns
    -------
    source_indices, target_indices : ndarray of int, ascending

    Raises
    ------
    ValueError
        If the number of values is not ``n_rows``, one is NaN or no number, or all are
        of one sign.
    """
    if sample_domain is None:
        return np.arange(n_rows), np.arange(n_rows)
    domain = np.asarray(to_numpy(sample_domain))
    if domain.ndim == 2 and domain.shape[1] == 1:
        domain = domain[:, 0]
    if domain.shape != (n_rows,):
        raise ValueError(
            f"sample_domain has shape {domain.shape} but X has {n_rows} rows: give one "
            "number for each row."
        )
    if domain.dtype.kind not in "iufb":
        try:
            domain = domain.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "sample_domain must hold numbers, at least 0 for source rows and below "
                f"0 for target rows, got dtype {domain.dtype}."
            ) from error
    if np.isnan(domain).any():
        raise ValueError(
            f"sample_domain is NaN in row {int(np.isnan(domain).argmax())}: give at "
            "least 0 for source rows and below 0 for target rows."
        )
    is_target = domain < 0
    if is_target.all() or not is_target.any():
        raise ValueError(
            f"sample_domain has {np.count_nonzero(~is_target)} source rows (>= 0) and "
            f"{np.count_nonzero(is_target)} target rows (< 0): both are needed. Leave "
            "it out to use every row as both."
        )
    return np.flatnonzero(~is_target), np.flatnonzero(is_target)
