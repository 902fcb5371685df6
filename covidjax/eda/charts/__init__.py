"""The figures of the look at the data."""
