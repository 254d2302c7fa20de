"""Integer points of a fixed sum of sizes as codes: of weights, and of rows."""
