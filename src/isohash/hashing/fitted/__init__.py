"""Hashes fitted to data: symbols by axes and by blocks."""
