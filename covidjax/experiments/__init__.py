"""What a config can run: one module an experiment, each with `run(config, workdir)`."""
