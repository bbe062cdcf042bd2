"""A picture of a page, made by a headless Chromium; the documentation shows one."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from ldreg.errors import LdregError
from ldreg.files import replacing

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Chromium uses no profile of the user, and neither fetches nor sends anything.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
_PATIENCE = 120.0  # seconds


def browser() -> str | None:
    """The path of an installed Chromium; None if there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def screenshot(page: Path, picture: Path, width: int = 1280, height: int = 1600) -> Path:
    """Save the top of a page as PNG of (height, width) pixels, in light colours whatever the system's are.

    Raises:
        LdregError: there is no Chromium, or it made no picture.
    """
    program = browser()
    if not program:
        raise LdregError("a screenshot needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile, replacing(picture) as temporary:
        command = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        command += [f"--screenshot={temporary.resolve()}", page.resolve().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise LdregError(f"{program}: no picture of {page} within {_PATIENCE:.0f} s") from error
        if done.returncode or not temporary.is_file():
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise LdregError(f"{program}: no picture of {page}: {reason}")
    return picture
