"""q-Gaussian mixed effects: regression of groups of which some may be bad."""
