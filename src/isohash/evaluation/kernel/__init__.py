"""Learned kernels: what is learned, what it costs, what it gives."""
