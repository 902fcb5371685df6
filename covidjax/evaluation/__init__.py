"""Metrics, confidence intervals, calibration, and the files and figures that report them."""

import logging

# It tells of a home folder that it cannot write to, and of fonts on a first start.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
