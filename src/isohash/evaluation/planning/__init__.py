"""What proposals are worth: predicted doses, bands, objectives and retrieval by them."""
