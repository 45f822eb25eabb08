"""One folder on disk that survives anything: checksummed segments, a catalogue, a recipe."""
