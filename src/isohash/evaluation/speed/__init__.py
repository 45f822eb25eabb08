"""Speed and quality of search, hashing and encoding against peers."""
