# Short jobs leave records, which this rule logs. It runs where Snakemake was started, because a cluster's nodes
# often reach no server.
rule track:
    input:
        lambda wildcards: [
            path for name in EXHIBITS_OF[wildcards.target] for path in outputs_of(name)
        ],
    output:
        TRACKED,
    log:
        f"{LOGS}/track/{{target}}.log",
    wildcard_constraints:
        target="|".join(EXHIBITS_OF),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, output: Path(output[0]).parents[1],
    message:
        "MLflow: finished jobs are logged"
    shell:
        "ldreg track {params.folder} --output {output} --log {log}"
