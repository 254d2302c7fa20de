"""scikit-learn's experimental callback API, used from here only.

It may change without deprecation; what changes upstream is mended in this module.
"""

from sklearn.callback import CallbackSupportMixin, with_callbacks

__all__ = ["CallbackSupportMixin", "with_callbacks"]
