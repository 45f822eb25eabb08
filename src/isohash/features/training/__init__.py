"""Training encoders: the only room with torch."""
