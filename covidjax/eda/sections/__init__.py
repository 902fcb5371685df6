"""The sections of the look at the data."""
