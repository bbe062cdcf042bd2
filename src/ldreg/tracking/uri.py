"""Where runs are logged, and why a tracking URI cannot be used, found out without importing MLflow."""

import base64
import difflib
import importlib.util
import os
import re
import socket
import ssl
from importlib.metadata import entry_points
from pathlib import Path
from typing import TextIO
from urllib import error, parse, request

from ldreg.runtime.console import say

VARIABLE = "MLFLOW_TRACKING_URI"
_TOLD = "LDREG_TRACKING_TOLD"  # set in a process that has told, and so in the jobs that it starts
_SECONDS = 5.0  # the longest wait for a server
_DATABASES = {  # the port of a database server, and the package that MLflow reaches it with
    "postgresql": (5432, "psycopg2", "psycopg2-binary"),
    "mysql": (3306, "MySQLdb", "mysqlclient"),
    "mssql": (1433, "pyodbc", "pyodbc"),
}
_SCHEMES = ("http", "https", "sqlite", *_DATABASES, "databricks", "databricks-uc", "uc")
_ALLOWED = "it should be http://HOST:PORT of an MLflow server, or sqlite:///FOLDER/mlflow.db"
_AN_ENDPOINT = "/api/2.0/mlflow/experiments/search?max_results=1"


def tracking_uri(results: Path) -> str:
    """Where runs are logged: `MLFLOW_TRACKING_URI`, else the SQLite database `mlflow.db` in `results`."""
    return os.environ.get(VARIABLE) or f"sqlite:///{Path(results) / 'mlflow.db'}"


def public(uri: str) -> str:
    """A URI without user, password and query.

    >>> public("https://ann:secret@host:5000/mlflow?token=1")
    'https://host:5000/mlflow'
    """
    return re.sub(r"//\S*@", "//", uri).partition("?")[0]


def reason(failure: Exception, uri: str) -> str:
    """Why logging to `uri` failed: the first cause, in one line without credentials."""
    cause: BaseException | None = failure
    while cause is not None:
        failure = cause  # type: ignore[assignment]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    text = re.sub(r"//\S*@", "//", str(failure).replace(uri, public(uri)))
    return " ".join(text.split()) or type(failure).__name__


def tell_if_unusable(results: Path, terminal: TextIO) -> None:
    """Say in one line if runs cannot be logged: once for a command and all jobs that it starts.

    A job whose tracking fails warns in its log. That comes late and is easily overlooked, so this line comes
    first, before anything trains.
    """
    if os.environ.get(_TOLD):
        return
    if problem := unusable(tracking_uri(results)):
        where = VARIABLE if os.environ.get(VARIABLE) else f"{results / 'mlflow.db'}"
        os.environ[_TOLD] = "1"
        say(
            terminal,
            f"warning: {where}: {problem}. Everything is made all the same, but MLflow does not show it;"
            f" mend this now, or log what is finished later: ldreg track {results}/SCALE",
        )


def unusable(uri: str) -> str | None:
    """Why nothing can be logged to a tracking URI, and what would be right; None if all seems well.

    Of a file the first bytes are read, a database's port is tried, and a server is asked for one experiment.
    """
    shown = public(uri)
    scheme, mark, _ = uri.partition("://")
    if not mark or scheme == "file":
        return _about_path(shown, Path(parse.unquote(uri.removeprefix("file:").removeprefix("//"))))
    dialect = scheme.partition("+")[0]
    plugins = [point.name for point in entry_points(group="mlflow.tracking_store")]
    if dialect not in (*_SCHEMES, *plugins):
        close = difflib.get_close_matches(dialect, _SCHEMES, n=1)
        hint = f"did you mean {close[0]}://? " if close else ""
        return f"'{shown}' begins with {scheme}://, which MLflow does not know; {hint}{_ALLOWED}"
    if dialect == "sqlite":
        return _about_sqlite(shown, uri)
    if scheme in ("http", "https") or dialect in _DATABASES:
        try:
            place = parse.urlsplit(uri)
            host, port = place.hostname, place.port
        except ValueError:  # its text may hold a part of a password
            return f"'{shown}' is no address, as its port is no number up to 65535; {_ALLOWED}"
        if dialect in _DATABASES:
            return _about_database(shown, scheme, host, port)
        return _about_server(shown, uri) if host else f"'{shown}' names no host; {_ALLOWED}"
    return None


def _about_path(shown: str, path: Path) -> str | None:
    if path.is_dir():
        return (
            f"'{shown}' is a folder, and MLflow no longer logs into folders; it should be a database, such as"
            f" sqlite:///{path / 'mlflow.db'}, or http://HOST:PORT of an MLflow server"
        )
    if path.is_file():
        return f"'{shown}' is a file and no URI; for a database write sqlite:///{path}"
    if shown in ("databricks", "databricks-uc", "uc"):
        return None
    return f"'{shown}' is no URI; {_ALLOWED}"


def _about_sqlite(shown: str, uri: str) -> str | None:
    name = uri.removeprefix("sqlite:///").partition("?")[0]
    if not uri.startswith("sqlite:///") or not name or name == ":memory:":
        return (
            f"'{shown}' names no file; it should have three slashes before a relative path and four before an"
            " absolute one, as in sqlite:///results/mlflow.db and sqlite:////home/me/mlflow.db"
        )
    if name.startswith(("~", "$")):
        return f"'{shown}': {name.partition('/')[0]} is not expanded in a URI; write the folder's full path"
    path = Path(name)
    if path.is_dir():
        return f"'{shown}': {name} is a folder; name a file in it: sqlite:///{path / 'mlflow.db'}"
    there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if there != path.absolute() and not there.is_dir():
        return f"'{shown}': {there} is a file, so that there can be no {name} below it; name another file"
    # SQLite writes a journal beside the database.
    for place in {there, path.absolute().parent} if path.is_file() else {there}:
        if not os.access(place, os.W_OK):
            return f"'{shown}': {place} cannot be written; name a file in a folder that you may write to"
    if path.is_file():
        try:
            with path.open("rb") as file:
                begin = file.read(16)
        except OSError as wrong:
            return f"'{shown}': {name} cannot be read ({wrong.strerror}); name another file"
        if begin and begin != b"SQLite format 3\0":
            return f"'{shown}': {name} is not a database; name another file, which MLflow then makes"
    return None


def _about_database(shown: str, scheme: str, host: str | None, port: int | None) -> str | None:
    """A database server: whether its driver is installed and its port answers."""
    dialect, _, driver = scheme.partition("+")
    usual, module, package = _DATABASES[dialect]
    module, package = (driver, driver) if driver else (module, package)
    if importlib.util.find_spec(module) is None:
        return f"'{shown}' needs the package {package}: pip install {package}"
    if host is None:
        return None  # a socket of this machine, or named in the query
    try:
        socket.create_connection((host, port or usual), _SECONDS).close()
    except OSError as wrong:
        return f"'{shown}': {_why(wrong)}; start the database, or correct host and port"
    return None


def _about_server(shown: str, uri: str) -> str | None:
    """A server: whether it answers as MLflow does. Proxies are those of the environment, as for MLflow."""
    place = parse.urlsplit(uri)
    bare = place._replace(netloc=place.netloc.rpartition("@")[2], query="", fragment="").geturl()
    asked = request.Request(bare.rstrip("/") + _AN_ENDPOINT, headers=_credentials(place))
    try:
        with request.urlopen(asked, timeout=_SECONDS) as answer:
            if answer.read(1) in (b"", b"{"):  # an object in JSON
                return None
    except error.HTTPError as refused:
        if refused.code in (401, 403):
            return (
                f"'{shown}' refuses these credentials (HTTP {refused.code}); set MLFLOW_TRACKING_USERNAME and"
                " MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        if refused.code >= 500:
            return f"'{shown}' answers with an error of its own (HTTP {refused.code}); see the server's log"
    except (OSError, ValueError) as wrong:  # urllib's own error is an OSError around the cause
        cause = getattr(wrong, "reason", wrong)
        if isinstance(cause, ssl.SSLError) and any(
            name in os.environ
            for name in ("MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH")
        ):
            return None  # MLflow itself trusts this server
        return f"'{shown}': {_why(cause)}; start the server (mlflow server), or correct host and port"
    return f"'{shown}' answers, but not as an MLflow server does; {_ALLOWED}"


def _credentials(place: parse.SplitResult) -> dict[str, str]:
    """The header of credentials that MLflow sends, too."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or parse.unquote(place.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or parse.unquote(place.password or "")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _why(wrong: object) -> str:
    """The cause of a failed connection in a few words."""
    if isinstance(wrong, TimeoutError):
        return f"no answer within {_SECONDS:.0f} seconds"
    if isinstance(wrong, socket.gaierror):
        return "this host is not known"
    return str(getattr(wrong, "strerror", None) or wrong).lower()
