"""Files become cases here; nothing to the right of this folder knows a file format."""
