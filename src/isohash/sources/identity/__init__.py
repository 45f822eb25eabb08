"""Pseudonyms, and the search for what identifies a patient."""
