# GPUs, threads, workers and precision say how a run is executed: resources, which never cause a rerun.
rule pretrain:
    input:
        spec=f"{RUN}/spec.yaml",
        data=data_of,
    output:
        expand(f"{RUN}/{{name}}", name=PRETRAINED, allow_missing=True),
    log:
        f"{LOGS}/pretrain/{{run}}.log",
    conda:
        "../../environment.yml"
    threads: EXECUTION.threads
    resources:
        gpu=EXECUTION.gpus,
        workers=EXECUTION.workers,
        mem_mb=EXECUTION.memory_mb,
        runtime=f"{EXECUTION.hours}h",
        precision=EXECUTION.precision,
    message:
        "Pretrain {wildcards.run}"
    shell:
        "ldreg pretrain {input.spec} --data {input.data} --gpus {resources.gpu} --threads {threads}"
        " --workers {resources.workers} --precision {resources.precision} --log {log}"


rule measure:
    input:
        spec=f"{RUN}/spec.yaml",
        evaluation=f"{RESULTS}/{SCALE.name}/evaluation.yaml",
        data=data_of,
        encoder=f"{RUN}/encoder.safetensors",
    output:
        expand(f"{RUN}/{{name}}", name=MEASURED, allow_missing=True),
    log:
        f"{LOGS}/measure/{{run}}.log",
    conda:
        "../../environment.yml"
    threads: EXECUTION.threads
    resources:
        gpu=min(EXECUTION.gpus, 1),
        workers=EXECUTION.workers,
        mem_mb=EXECUTION.memory_mb,
        runtime=f"{EXECUTION.hours}h",
    message:
        "Measure {wildcards.run}"
    shell:
        "ldreg measure {input.spec} --evaluation {input.evaluation} --data {input.data}"
        " --gpus {resources.gpu} --threads {threads} --workers {resources.workers} --log {log}"
