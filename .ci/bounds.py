"""Prints the lower bounds of setup.cfg as constraints for pip: `NAME==VERSION`, one a line."""

import configparser
import re

LISTS = (("options", "install_requires"), ("options.extras_require", "dev"))

config = configparser.ConfigParser()
config.read("setup.cfg")
for section, key in LISTS:
    for line in config[section][key].split("\n"):
        if found := re.match(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", line.strip()):
            print(f"{found[1]}=={found[2]}")
