# Not a job on a cluster, whose nodes often reach no server. Short jobs leave records, which are logged here.
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
        "MLflow: what the jobs have left is logged"
    shell:
        "ldreg track {params.folder} --output {output} --log {log}"
