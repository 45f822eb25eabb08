"""What makes an archive: sampling, fitting, indexing, hashing anew."""
