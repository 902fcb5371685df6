"""The command line and sweeps."""
