# This rule is not a job on a cluster, because it takes a second.
rule site:
    input:
        exhibits=[outputs_of(name) for name in SCALE.exhibits],
        specs=[exhibit_spec_file(RESULTS, SCALE, name) for name in SCALE.exhibits],
        evaluation=measured_by("evaluation.yaml"),
        paper=f"{CONFIG}/paper/{SETTINGS_FILE}",
    output:
        SITE,
    log:
        f"{LOGS}/site.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
        exhibits=list(SCALE.exhibits),  # as in exhibits.yaml, which the command reads
    message:
        "Page: {output}"
    shell:
        "ldreg site {params.folder} --log {log}"
