"""Transport coreset: the idea in one line."""
