"""Where the stages meet: the engine, the command line and the report."""
