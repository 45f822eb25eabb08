"""Ways of answering: by images, by plan, by vectors."""
