# The workflow itself, in the place where the Snakemake workflow catalogue looks for it.
include: "workflow/Snakefile"


# An included file's default target does not become that of the file which includes it.
workflow.default_target = "all"
