# fmt: off
# The rule of each measurement that needs the run's data and no settings of its own. It is a function and not the body
# of a loop, because Snakemake composes the command when a job starts. By then a loop's variable has its last value.
def rule_of(measurement):
    rule:
        name:
            measurement.key
        input:
            spec=spec_of,
            data=data_of,
            encoder=[f"{RUN}/encoder.safetensors"] if measurement.needs_encoder else [],
        output:
            [f"{RUN}/{name}" for name in measurement.files],
        log:
            f"{LOGS}/{measurement.key}/{{run}}.log",
        conda:
            "../../environment.yml"
        threads: 1 if measurement.single_threaded else EXECUTION.threads
        resources:
            **EXECUTION.resources_of(measurement),
            mem_mb=EXECUTION.memory_mb,
            runtime=f"{EXECUTION.hours}h",
            options=EXECUTION.options_of(measurement),
        message:
            f"{measurement.label} of {{wildcards.run}}"
        shell:
            f"ldreg {measurement.command} {{input.spec}} --data {{input.data:q}} --threads {{threads}}"
            " {resources.options} --log {log}"


for measurement in MEASUREMENTS.values():
    if measurement.has_plain_rule:
        rule_of(measurement)
# fmt: on
