"""Model soups: average the weights of a sweep instead of keeping its winner."""
