# Not a job on a cluster, whose nodes often have no network.
rule data:
    output:
        DATASET,
    log:
        f"{LOGS}/data/{{dataset}}.log",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Data: {wildcards.dataset}, fetched if it has to be, and verified"
    shell:
        "ldreg data {wildcards.dataset} --output {output} --log {log}"
