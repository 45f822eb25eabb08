"""Encoders as they are used: images and anatomy to vectors, without torch."""
