"""Learning a radial kernel: Langevin particles and their mean field."""
