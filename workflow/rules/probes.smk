# What some exhibits ask of a trained encoder beyond what every run is measured by.
if TRANSFERRED:

    rule transfer:
        input:
            spec=f"{RUN}/spec.yaml",
            settings=f"{RESULTS}/{SCALE.name}/transfer.yaml",
            pretrained_on=data_of,
            data=expand(DATASET, dataset=TRANSFERRED),
            encoder=f"{RUN}/encoder.safetensors",
        output:
            expand(
                f"{RUN}/transfer/{{dataset}}.json",
                dataset=TRANSFERRED,
                allow_missing=True,
            ),
        log:
            f"{LOGS}/transfer/{{run}}.log",
        conda:
            "../../environment.yml"
        threads: EXECUTION.threads
        resources:
            gpu=min(EXECUTION.gpus, 1),
            mem_mb=EXECUTION.memory_mb,
            runtime=f"{EXECUTION.hours}h",
            options=EXECUTION.measure_options,
        message:
            "Transfer {wildcards.run}"
        shell:
            "ldreg transfer {input.spec} --settings {input.settings} --pretrained-on {input.pretrained_on}"
            " --data {input.data} --threads {threads} {resources.options} --log {log}"


rule tsne:
    input:
        spec=f"{RUN}/spec.yaml",
        data=data_of,
        encoder=f"{RUN}/encoder.safetensors",
    output:
        f"{RUN}/tsne.csv",
    log:
        f"{LOGS}/tsne/{{run}}.log",
    conda:
        "../../environment.yml"
    threads: EXECUTION.threads
    resources:
        gpu=min(EXECUTION.gpus, 1),
        mem_mb=EXECUTION.memory_mb,
        runtime=f"{EXECUTION.hours}h",
        options=EXECUTION.measure_options,
    message:
        "t-SNE of {wildcards.run}"
    shell:
        "ldreg tsne {input.spec} --data {input.data} --threads {threads} {resources.options} --log {log}"
