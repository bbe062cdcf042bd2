"""A checked scale, and what Snakemake and the command line ask about it."""
