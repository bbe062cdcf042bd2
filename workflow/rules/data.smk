rule data:
    output:
        DATASET,
    log:
        f"{LOGS}/data/{{dataset}}.log",
    conda:
        "../../environment.yml"
    message:
        "Data: {wildcards.dataset}, fetched if it has to be, and verified"
    shell:
        "ldreg data {wildcards.dataset} --output {output} --log {log}"
