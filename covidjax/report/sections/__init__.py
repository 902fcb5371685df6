"""The sections of the draft report."""
