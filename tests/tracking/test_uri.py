"""An unusable tracking URI is told once, whole and with its cure, before anything trains."""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ldreg.tracking.uri import tell_if_unusable, unusable


@pytest.fixture
def http_server():
    """`http_server(status, body)`: the address of a server that answers everything so."""
    servers = []

    def start(status, body=b""):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.headers.get("Authorization") == "Basic YW5uOnNlY3JldA=="  # ann:secret
                self.send_response(200 if known else status)
                self.end_headers()
                self.wfile.write(b"{}" if known else body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The working folder: a folder, a text, a database."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("text").write_text("a note to myself")
    Path("good.db").write_bytes(b"SQLite format 3\0" + bytes(84))
    return tmp_path


BAD = {
    "folder": ("'folder' is a folder", "sqlite:///folder/mlflow.db"),
    "file:folder": ("is a folder", "sqlite:///folder/mlflow.db"),
    "file:///": ("'file:///' is a folder", "http://HOST:PORT"),
    "text": ("'text' is a file and no URI", "sqlite:///text"),
    "localhost:5000": ("is no URI", "http://HOST:PORT"),
    "/nowhere/at/all": ("is no URI", "sqlite:///FOLDER/mlflow.db"),
    "htpp://localhost:5000": ("MLflow does not know", "did you mean http://?"),
    "ftp://localhost": ("MLflow does not know", "http://HOST:PORT"),
    "sqlite://good.db": ("names no file", "three slashes"),
    "sqlite:///": ("names no file", "sqlite:////home/me/mlflow.db"),
    "sqlite:///:memory:": ("names no file", "three slashes"),
    "sqlite:///folder": ("folder is a folder", "sqlite:///folder/mlflow.db"),
    "sqlite:///text": ("text is not a database", "name another file"),
    "sqlite:///text/mlflow.db": ("text is a file", "name another file"),
    "sqlite:///~/mlflow.db": ("~ is not expanded", "the folder's full path"),
    "sqlite:///$HOME/mlflow.db": ("$HOME is not expanded", "the folder's full path"),
    "http://": ("names no host", "http://HOST:PORT"),
    "http://127.0.0.1:port": ("its port is no number", "http://HOST:PORT"),
    "http://127.0.0.1:99999": ("its port is no number", "http://HOST:PORT"),
    "http://127.0.0.1:9": ("connection refused", "start the server (mlflow server)"),
    "http://no-such-host.invalid:5000": ("host is not known", "correct host and port"),
    "postgresql+sqlite3://127.0.0.1:9/mlflow": ("connection refused", "start the database"),
    "mysql+no_such_driver://127.0.0.1/mlflow": ("needs the package", "pip install no_such_driver"),
}


@pytest.mark.parametrize("uri", BAD)
def test_what_is_wrong_and_what_would_be_right(files, uri):
    wrong, right = BAD[uri]
    told = unusable(uri)
    assert wrong in told and right in told, told
    assert "\n" not in told


@pytest.mark.parametrize("name", ["good.db", "folder/new.db"])
def test_a_place_that_may_not_be_written(files, monkeypatch, name):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the administrator may write everywhere
    told = unusable(f"sqlite:///{name}")
    assert "cannot be written; name a file in a folder that you may write to" in told


def test_servers_that_are_none_of_mlflow(http_server):
    assert "refuses these credentials (HTTP 401)" in unusable(f"http://{http_server(401)}")
    assert "MLFLOW_TRACKING_USERNAME" in unusable(f"http://bob:wrong@{http_server(403)}")
    assert "an error of its own (HTTP 500)" in unusable(f"http://{http_server(500)}")
    for status, body in ((404, b""), (200, b"<html>")):
        assert "not as an MLflow server does" in unusable(f"http://{http_server(status, body)}/mlflow")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no answer within" in unusable(f"http://127.0.0.1:{silent.getsockname()[1]}")
    secret = "http://ann:to/p@ss@127.0.0.1:9"
    assert not any(word in unusable(secret) for word in ("ann", "p@ss", "to/"))


def test_usable_ones(files, server, http_server, monkeypatch):
    for uri in ("sqlite:///good.db", "sqlite:///new/folder/mlflow.db", f"sqlite:///{files}/x.db"):
        assert unusable(uri) is None
    assert unusable("databricks") is None and unusable("postgresql+sqlite3:///by-socket") is None
    assert not Path("new").exists()  # nothing is made by looking
    assert unusable(server[0]) is None
    place = http_server(401)
    assert unusable(f"http://ann:secret@{place}") is None
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert unusable(f"http://{place}") is None


def test_it_is_told_once_for_a_command_and_its_jobs(files, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "folder")
    monkeypatch.delenv("LDREG_TRACKING_TOLD", raising=False)
    for _ in range(2):
        tell_if_unusable(Path("results"), sys.stderr)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: MLFLOW_TRACKING_URI: 'folder' is a folder")
    assert line.endswith("log what is finished later: ldreg track results/SCALE")
    assert os.environ["LDREG_TRACKING_TOLD"] == "1"  # jobs inherit it

    monkeypatch.delenv("LDREG_TRACKING_TOLD")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    tell_if_unusable(Path("results"), sys.stderr)
    assert capsys.readouterr().err == ""
    Path("results").mkdir()
    Path("results/mlflow.db").write_text("no database")
    tell_if_unusable(Path("results"), sys.stderr)
    assert capsys.readouterr().err.startswith("warning: results/mlflow.db: ")
    monkeypatch.delenv("LDREG_TRACKING_TOLD")


def test_the_check_imports_nothing_heavy():
    code = "import sys; from ldreg.tracking.uri import unusable; unusable('http://127.0.0.1:9')"
    code += "; print(sorted({'mlflow', 'torch', 'pandas', 'sqlalchemy', 'requests'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
