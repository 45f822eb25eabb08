"""What is measured of a case: slices, geometry, regions."""
