"""From a case to embeddings: canonical slices, encoders, and their training."""
