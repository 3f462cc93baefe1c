"""The terms of the evidence lower bound: likelihoods of grey pixels and Gaussian KL."""
