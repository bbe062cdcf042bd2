# Figures 1 and 3 show points in the plane and need no networks.
rule synthetic:
    output:
        f"{RESULTS}/{SCALE.name}/exhibits/{{figure}}.json",
    log:
        f"{LOGS}/synthetic/{{figure}}.log",
    wildcard_constraints:
        figure="figure1|figure3",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=2000,
    params:
        seeds=lambda wildcards: SCALE.seeds_of(wildcards.figure),
    message:
        "Points in the plane: {wildcards.figure}"
    shell:
        "ldreg synthetic {wildcards.figure} --seeds {params.seeds} --output {output} --log {log}"
