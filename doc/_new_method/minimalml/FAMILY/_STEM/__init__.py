"""NAME: the idea in one line."""
