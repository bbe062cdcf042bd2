"""What Snakemake and the command line ask of a scale."""
