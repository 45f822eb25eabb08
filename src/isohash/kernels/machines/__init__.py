"""Kernel support vector machines on random features, and their peers."""
