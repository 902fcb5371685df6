"""The figures of a classification run."""
