"""From a scale file to the tables and figures of the LDReg paper.

    snakemake              every exhibit that the scale declares, and a page of them all
    snakemake core         what the scale calls its core: Table 1 for SimCLR, Figures 3 and 5, claims
    snakemake figure5      one exhibit, by its name

each with `--configfile config/<scale>.yaml` for another scale than the demo.
"""

from snakemake.utils import min_version

min_version("9.14")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


rule all:
    input:
        [outputs_of(name) for name in SCALE.exhibits],
        SITE,


rule core:
    input:
        [outputs_of(name) for name in SCALE.content.core],


include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/synthetic.smk"
include: "workflow/rules/exhibits.smk"
include: "workflow/rules/site.smk"
