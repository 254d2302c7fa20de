"""Open set coreset: the idea in one line."""
