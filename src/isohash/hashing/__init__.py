"""Embeddings to codes: drawn hashes, their closed forms, estimators and calibration."""
