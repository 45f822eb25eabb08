"""Images of any subject as vectors: colour, texture and layout, in NumPy alone."""
