"""How well archives of labelled images find images of the same class."""
