"""What people keep of an archive: queries, cohorts and notes, beside the archive."""
