from minimalml.linear_model import NaiveBayesProbe

INSTANCES = {
    "NaiveBayesProbe": [
        NaiveBayesProbe(),
        NaiveBayesProbe(variance="per_class"),
        NaiveBayesProbe(variance="spherical", smoothing="absolute"),
        NaiveBayesProbe(shrinkage="auto", ddof="pooled", priors="uniform"),
    ]
}
