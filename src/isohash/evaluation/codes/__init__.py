"""Codes against ground truth: the literature's figures on digits and slices."""
