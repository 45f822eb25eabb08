"""From past plans to a new one: the dose that a patient would get, and a finished plan checked."""
