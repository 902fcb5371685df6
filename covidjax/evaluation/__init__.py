"""Metrics, confidence intervals, calibration, and the files and figures that report them."""
