# Snakemake would read the word `report` at the beginning of a line as a directive.
from snakemake.io import report as shown


# Each exhibit has a rule of its name, so that `snakemake figure5` makes that exhibit alone.
def in_report(exhibit):
    """The exhibit's outputs; those that a browser shows go into the Snakemake report."""
    about = SCALE.exhibits[exhibit]
    return [
        (
            shown(
                path,
                caption="../report/exhibit.rst",
                category=about.category,
                labels={"exhibit": exhibit, "file": path.suffix[1:]},
            )
            if path.suffix in (".png", ".html")
            else path
        )
        for path in outputs_of(exhibit)
    ]


for exhibit in SCALE.exhibits:

    rule:
        name:
            exhibit
        input:
            spec=exhibit_spec_file(RESULTS, SCALE, exhibit),
            runs=measurements_of(exhibit),
            settings=settings_of(exhibit),
            paper=expand(f"{CONFIG}/paper/{{name}}.csv", name=["reported", "settings"]),
        output:
            in_report(exhibit),
        log:
            f"{LOGS}/exhibits/{exhibit}.log",
        conda:
            "../../environment.yml"
        params:
            caption=plain_text(SCALE.exhibits[exhibit].caption),
            about=plain_text(about_of(exhibit)),
        message:
            f"Exhibit: {SCALE.exhibits[exhibit].title}"
        shell:
            "ldreg exhibit {input.spec} --log {log}"
