"""Pages that an answer is written to: report, charts, collage."""
