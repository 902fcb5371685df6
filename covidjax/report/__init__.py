"""Pages that a person reads: sections of text, tables and figures as one HTML file."""
