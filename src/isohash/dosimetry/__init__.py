"""What a physicist reads off a case: structures, dose-volume histograms, isodose lines."""
