"""Encoders compared: tables, reconstructions, small archives, domains."""
