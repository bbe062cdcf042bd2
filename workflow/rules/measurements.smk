# What some exhibits ask of a run beyond what every run is measured by.
if "paper" in SCALE.content.evaluation.linear:

    rule linear_paper:
        input:
            spec=spec_of,
            settings=measured_by("linear_paper.yaml"),
            data=data_of,
            encoder=f"{RUN}/encoder.safetensors",
        output:
            f"{RUN}/linear_paper.json",
        log:
            f"{LOGS}/linear_paper/{{run}}.log",
        retries: EXECUTION.retries(EXECUTION.hours)
        conda:
            "../../environment.yml"
        threads: EXECUTION.threads
        resources:
            **EXECUTION.resources_of(MEASUREMENTS["linear_paper"]),
            mem_mb=EXECUTION.memory_mb,
            runtime=f"{EXECUTION.limit(EXECUTION.hours)}h",
            options=attempted(EXECUTION.options_of(MEASUREMENTS["linear_paper"])),
        message:
            "Linear evaluation on crops of {wildcards.run}"
        shell:
            "ldreg linear-paper {input.spec} --settings {input.settings} --data {input.data:q}"
            " --threads {threads} {resources.options} --log {log}"


if TRANSFERRED:

    # A set of which nothing is there and that cannot be fetched is left out of the table, and is no failure.
    rule offer:
        input:
            RECHECK,
        output:
            AVAILABILITY,
        log:
            f"{LOGS}/data/{{dataset}}.log",
        localrule: True
        conda:
            "../../environment.yml"
        params:
            manifest=lambda wildcards: DATASET.format(dataset=wildcards.dataset),
        message:
            "Data for transfer: {wildcards.dataset}, if it can be had"
        shell:
            "ldreg data {wildcards.dataset} --output {params.manifest:q} --offer {output} --log {log}"

    rule transfer:
        input:
            spec=spec_of,
            settings=measured_by("transfer.yaml"),
            pretrained_on=data_of,
            data=expand(AVAILABILITY, dataset=TRANSFERRED),
            # Else an offer that failed would go unnoticed while there are results of an earlier one.
            rechecks=expand(RECHECK, dataset=TRANSFERRED),
            encoder=f"{RUN}/encoder.safetensors",
        output:
            expand(
                f"{RUN}/transfer/{{dataset}}.json",
                dataset=TRANSFERRED,
                allow_missing=True,
            ),
        log:
            f"{LOGS}/transfer/{{run}}.log",
        retries: EXECUTION.retries(EXECUTION.hours)
        conda:
            "../../environment.yml"
        threads: EXECUTION.threads
        resources:
            gpu=min(EXECUTION.gpus, 1),
            mem_mb=EXECUTION.memory_mb,
            runtime=f"{EXECUTION.limit(EXECUTION.hours)}h",
            options=attempted(EXECUTION.options_of(MEASUREMENTS["transfer"])),
        message:
            "Transfer {wildcards.run}"
        shell:
            "ldreg transfer {input.spec} --settings {input.settings} --pretrained-on {input.pretrained_on:q}"
            " --data {input.data:q} --threads {threads} {resources.options} --log {log}"


if SCALE.content.detection:

    rule compose:
        input:
            settings=measured_by("detection.yaml"),
            data=DATASET.format(dataset="digits"),
        output:
            COMPOSED,
        log:
            f"{LOGS}/compose.log",
        conda:
            "../../environment.yml"
        message:
            "Detection set, composed of digits"
        shell:
            "ldreg compose --settings {input.settings} --data {input.data:q} --output {output} --log {log}"

    # COCO is the user's own, so that no file of it is an output, which Snakemake would delete. Looked at first:
    # what is missing is told before days of pretraining.
    rule coco:
        output:
            COCO,
        log:
            f"{LOGS}/data/coco.log",
        priority: 100
        localrule: True
        conda:
            "../../environment.yml"
        # No parameter: where data lie changes no result.
        resources:
            folder=f"{EXECUTION.data}/coco",
        message:
            "COCO: checked"
        shell:
            "ldreg coco {resources.folder:q} --output {output} --log {log}"

    rule detect:
        input:
            spec=spec_of,
            settings=measured_by("detection.yaml"),
            pretrained_on=data_of,
            data=COCO if SCALE.content.detection.dataset == "coco" else COMPOSED,
            encoder=f"{RUN}/encoder.safetensors",
        output:
            f"{RUN}/detection.json",
        log:
            f"{LOGS}/detect/{{run}}.log",
        retries: EXECUTION.retries(EXECUTION.hours)
        conda:
            "../../environment.yml"
        threads: EXECUTION.threads
        resources:
            **EXECUTION.cluster_resources,
            gpu=EXECUTION.gpus * EXECUTION.nodes,
            mem_mb=EXECUTION.memory_mb,
            runtime=f"{EXECUTION.limit(EXECUTION.hours)}h",
            options=attempted(
                f"--data {quote(detection_data())} {EXECUTION.options_of(MEASUREMENTS['detect'])}"
            ),
        message:
            "Detect with {wildcards.run}"
        shell:
            "ldreg detect {input.spec} --settings {input.settings} --pretrained-on {input.pretrained_on:q}"
            " --threads {threads} {resources.options} --log {log}"
