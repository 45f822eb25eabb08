"""The heart: an archive that is asked, and what makes one."""
