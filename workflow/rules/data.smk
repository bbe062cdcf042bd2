# This rule runs where Snakemake was started, because a cluster's nodes often have no network.
rule data:
    output:
        DATASET,
    log:
        f"{LOGS}/data/{{dataset}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Data: {wildcards.dataset}, downloaded if necessary, and verified"
    shell:
        "ldreg data {wildcards.dataset} --output {output:q} --log {log}"
