"""The look at the data before training: tables, figures, flags, and one page to read."""
