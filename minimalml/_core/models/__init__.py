"""What a fitted model is made of: its weights, its last layer, the features before it."""
