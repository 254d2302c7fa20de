"""Say in one line what the family is for.

And in two or three more how to choose among its classes.
"""

__all__ = []
