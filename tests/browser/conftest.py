"""A real Chromium, and a page of fabricated exhibits that were rendered as always."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from exhibits.conftest import fabricate

from ldreg.exhibits import render
from ldreg.site.build import build_site
from ldreg.site.screenshot import FLAGS, browser

CHECKS = Path(__file__).with_name("checks.js").read_text()
METRICS = ["linear_top1", "knn_top1", "effective_rank", "rankme", "mlid"]
BASE = {"base": {"beta": 0.1, "k": 16}}
EXHIBITS = {
    # The last is wide beyond any window: every metric, and levels beside the paper's.
    "narrow": ("main_table", "Tables", BASE),
    "wide": ("main_table", "Tables", {**BASE, "metrics": METRICS, "scale_of_paper": True}),
    "figure": ("sweep", "Figures", {**BASE, "axes": ["beta", "k"], "metrics": ["linear_top1", "mlid"]}),
    "claims": ("ledger", "Claims", BASE),
    "later": ("sweep", "Figures", BASE),
}
TITLE = 'A title with <b>, & and " that goes on and on, so that it takes more than one line of any page'


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/demo with four exhibits made, one that is not, and its index.html; returns the folder."""
    root = tmp_path_factory.mktemp("site") / "results/demo"
    root.mkdir(parents=True)
    made = fabricate(root, range(3))
    for folder in made.folders[:4]:
        Path(folder, "summary.json").write_text(json.dumps({"wall_seconds": 30.0, "device": "cpu"}))
    for name, (renderer, category, settings) in EXHIBITS.items():
        path = made.spec(renderer, name, **settings)
        content = yaml.safe_load(path.read_text()) | {"category": category, "title": f"{name}. {TITLE}"}
        path.write_text(yaml.safe_dump(content))
        if name != "later":
            render(path)
    build_site(root, EXHIBITS)
    return root


class Page:
    """A page in Chromium, at one width and in one colour scheme."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int, scheme: str = "light", media: str = "screen") -> None:
        """Load a file as a reader does who double-clicks it."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        self.driver.get_log("browser")  # reading it empties it
        self.driver.get(path.as_uri())

    def findings(self) -> list[str]:
        """What is wrong with the page as it is laid out, and what the console says."""
        console = [f"console: {entry['message']}" for entry in self.driver.get_log("browser")]
        return self.driver.execute_script(CHECKS) + console


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Chromium, headless and with a new profile; skips where there is none."""
    selenium = pytest.importorskip("selenium", reason="selenium is not installed")
    program, driver = browser(), shutil.which("chromedriver")
    if not (selenium and program and driver):
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield Page(started)
    started.quit()
