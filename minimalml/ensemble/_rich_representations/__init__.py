"""Rich representations: the hidden layers of several networks side by side."""
