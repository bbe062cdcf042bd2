# The workflow itself, in the place where the Snakemake workflow catalogue looks for it.
include: "workflow/Snakefile"
