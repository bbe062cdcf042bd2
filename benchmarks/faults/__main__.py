"""What faults cost: the workflow is disturbed, started again, and compared with itself undisturbed.

    python benchmarks/faults > benchmarks/faults_cpu.json
    python benchmarks/faults --kills 3 --only kills

A trial begins from a finished folder whose results are partly removed, so that it makes them again. After the
fault the same command is given once more. All results must then be those of the undisturbed folder to the
last bit, apart from times; and MLflow must show each job once. The exit status is 1 if anything differs.
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import yaml
from folder import SCALE, Folder
from kills import Campaign, doubled
from surroundings import FAULTS


def main() -> int:
    """Run what the arguments ask for; prints JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="number of kills (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=["kills", *FAULTS], help="what to try (everything)")
    parser.add_argument("--without-detection", action="store_true", help="leave out the longest job")
    arguments = parser.parse_args()
    chosen = arguments.only or ["kills", *FAULTS]
    with tempfile.TemporaryDirectory(prefix="ldreg-faults-") as scratch:
        reference = Folder.fresh(Path(scratch).resolve() / "reference")
        if arguments.without_detection:
            content = yaml.safe_load(SCALE.read_text())
            del content["detection"], content["exhibits"]["table3"]
            (reference.path / "scale.yaml").write_text(yaml.safe_dump(content))
        undisturbed = reference.run()
        if undisturbed.code:
            print(undisturbed.told, file=sys.stderr)
            return 1
        found = {
            "python": platform.python_version(),
            "seed": arguments.seed,
            "undisturbed_seconds": round(undisturbed.seconds, 1),
            "files": len(reference.contents()),
            "tracking": doubled(reference),
            "kills": [],
            "faults": {},
        }
        if "kills" in chosen:
            for kill in Campaign(reference, reference.path.parent, arguments.seed).kills(arguments.kills):
                print(kill, file=sys.stderr, flush=True)
                found["kills"].append(kill)
        for name in chosen:
            if name in FAULTS:
                folder = reference.copy(reference.path.parent / name)
                found["faults"][name] = FAULTS[name](folder, reference.contents())
                print(name, found["faults"][name], file=sys.stderr, flush=True)
    found["sound"] = all(
        trial["equal"] and not trial["tracking"] and not trial.get("half")
        for trial in (*found["kills"], *found["faults"].values())
    )
    print(json.dumps(found, indent=1))
    return 0 if found["sound"] else 1


sys.exit(main())
