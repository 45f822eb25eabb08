"""Hits -> numbers -> figures: how well codes retrieve, and whether near means near."""
