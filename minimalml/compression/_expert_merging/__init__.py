"""Expert merging: a trained mixture of experts with fewer experts, then smaller ones."""
