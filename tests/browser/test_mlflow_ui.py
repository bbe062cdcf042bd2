"""MLflow's own pages of a real server, in a real Chromium: the runs, their charts and their files."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow_server import serving

from ldreg.tracking import Tracker, log_folder

pytestmark = pytest.mark.long
RUN = "simclr-small_cnn/none/seed0"
PATIENCE = 60.0  # seconds for a page that a script fills


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of the experiment's page on a server, and the id of its pretraining."""
    root = tmp_path_factory.mktemp("ui")
    with serving(root) as (uri, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        folder = root / "results/demo/runs" / RUN
        folder.mkdir(parents=True)
        spec = {"scale": "demo", "run": RUN, "method": "simclr", "seed": 0, "spec_hash": "abc"}
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
        rows = [(epoch, 4 / epoch) for epoch in range(1, 6)]
        with Tracker(folder, "pretrain", root / "results") as tracking:
            for epoch, loss in rows:
                tracking.log({"loss": loss, "mlid": 5.0}, epoch)
            (folder / "history.csv").write_text("epoch,loss\n" + "".join(f"{e},{x}\n" for e, x in rows))
            (folder / "summary.json").write_text('{"wall_seconds": 3.0}')
        (folder / "knn.json").write_text('{"split": "test", "k": 20, "top1": 97.1, "top5": null}')
        log_folder(folder, root / "results")
        notes = json.loads(Path(folder, "mlflow.json").read_text())
        from mlflow.tracking import MlflowClient

        experiment = MlflowClient(uri).get_experiment_by_name(notes["pretrain"]["experiment"])
        yield f"{uri}/#/experiments/{experiment.experiment_id}/runs", notes["pretrain"]["run_id"]


def _shows(page: Any, address: str, *texts: str) -> None:
    """Open a page and wait until it shows all these texts."""
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.driver.set_window_size(1600, 1200)
    page.driver.get("about:blank")  # else only the fragment of the address would change
    page.driver.get(address)
    end = time.monotonic() + PATIENCE
    missing = list(texts)
    while missing and time.monotonic() < end:
        time.sleep(0.2)
        shown = page.driver.find_element("tag name", "body").text
        missing = [text for text in texts if text not in shown]
    assert not missing


def test_the_list_of_runs(page: Any, logged: tuple[str, str]) -> None:
    _shows(page, logged[0], "ldreg-demo", RUN)


def test_a_run_with_its_settings_and_tags(page: Any, logged: tuple[str, str]) -> None:
    _shows(page, "/".join(logged), RUN, "Finished", "spec_hash", "superseded", "method")


@pytest.mark.parametrize(
    "tab, titles",
    [("model-metrics", ["loss", "mlid"]), ("system-metrics", ["cpu_utilization_percentage"])],
)
def test_charts(page: Any, logged: tuple[str, str], tab: str, titles: list[str]) -> None:
    _shows(page, f"{'/'.join(logged)}/{tab}", *titles)
    end = time.monotonic() + PATIENCE
    while not (drawn := page.driver.find_elements("css selector", "svg.main-svg")):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert len(drawn) >= len(titles)


def test_files(page: Any, logged: tuple[str, str]) -> None:
    _shows(page, f"{'/'.join(logged)}/artifacts", "history.csv", "spec.yaml", "summary.json")
