"""What every sampler and every run has: the contract, settings, plans, states, predictions."""
