"""The jobs of the workflow, each from files to files."""
