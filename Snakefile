# The workflow itself, in the place where the Snakemake workflow catalogue looks for it.
include: "workflow/Snakefile"


# An included file has no say in what `snakemake` makes when it is given no target.
workflow.default_target = "all"
