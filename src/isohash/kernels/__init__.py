"""Mathematics of radial kernels: spectral measures, random features and learning them."""
