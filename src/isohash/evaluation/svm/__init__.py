"""Kernel machines on the literature's classification sets."""
