"""What an accelerator does with covidjax: one command, `python -m benchmarks.accelerator`."""
