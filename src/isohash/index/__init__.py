"""Codes to exact nearest neighbours: the reference, the scan, and the opt-in ways to read less."""
