# GPUs, threads and precision say how a run is executed. They are resources, which never cause a rerun.
rule pretrain:
    input:
        spec=spec_of,
        data=data_of,
    output:
        expand(f"{RUN}/{{name}}", name=PRETRAINED, allow_missing=True),
    log:
        f"{LOGS}/pretrain/{{run}}.log",
    retries: RETRIES
    conda:
        "../../environment.yml"
    threads: EXECUTION.threads
    resources:
        **EXECUTION.cluster_resources,
        gpu=EXECUTION.gpus * EXECUTION.nodes,
        mem_mb=EXECUTION.memory_mb,
        runtime=time_limit,
        options=attempted(EXECUTION.pretrain_options),
    message:
        "Pretrain {wildcards.run}"
    shell:
        "ldreg pretrain {input.spec} --data {input.data:q} --threads {threads} {resources.options} --log {log}"


rule measure:
    input:
        spec=spec_of,
        evaluation=measured_by("evaluation.yaml"),
        data=data_of,
        encoder=f"{RUN}/encoder.safetensors",
    output:
        expand(f"{RUN}/{{name}}", name=SCALE.measured, allow_missing=True),
    log:
        f"{LOGS}/measure/{{run}}.log",
    conda:
        "../../environment.yml"
    threads: EXECUTION.threads
    resources:
        gpu=min(EXECUTION.gpus, 1),
        mem_mb=EXECUTION.memory_mb,
        runtime=f"{EXECUTION.hours}h",
        options=EXECUTION.measure_options,
    message:
        "Measure {wildcards.run}"
    shell:
        "ldreg measure {input.spec} --evaluation {input.evaluation} --data {input.data:q} --threads {threads}"
        " {resources.options} --log {log}"
