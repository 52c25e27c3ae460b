"""A real Apache Airflow on this machine, to record from.

    python cassettes/airflow/server.py

makes ``.venv-airflow`` with the version pinned in ``requirements.txt`` if it is not there (a minute or two, once),
starts every component in a fresh AIRFLOW_HOME on a free port, prints where it answers and keeps it until Ctrl-C.
A recording script does the same with ``with airflow_server() as (base_url, username, password):``.

Standard library only: it runs before anything of this repository is installed. Linux and macOS.
"""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / ".venv-airflow"
AIRFLOW = VENV / "bin" / "airflow"
COMPONENTS: dict[str, list[str]] = {
    "api-server": ["--host", "127.0.0.1"],
    "scheduler": ["--skip-serve-logs"],  # its log server's port is fixed; two servers would quarrel over it
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
}
HEALTHY = {"metadatabase", "scheduler", "dag_processor", "triggerer"}

ADMIN = "admin"
VIEWER = "viewer"  # same password; may read everything and start nothing, which is what a poller should be given


@contextlib.contextmanager
def airflow_server(*, maximum_page_limit: int = 100, start_timeout_s: float = 180) -> Iterator[tuple[str, str, str]]:
    """Yield ``(base_url, username, password)`` of a healthy server; stop it and delete its files on the way out.

    ``maximum_page_limit`` is Airflow's own setting (100 is its default): a larger ``limit`` is clamped to it without a
    word, so a small value gives several pages from a handful of runs.
    """
    _install()
    with tempfile.TemporaryDirectory(prefix="airflow-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        port = _free_port()
        password = secrets.token_hex(8)
        (home / "passwords.json").write_text(json.dumps({ADMIN: password, VIEWER: password}))
        shutil.copytree(HERE / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        (home / "config").mkdir()  # Airflow puts it on sys.path
        (home / "config" / "recorded_host.py").write_text("def name() -> str:\n    return 'airflow-1'\n")
        environment = _environment(home, port, maximum_page_limit)
        with (home / "migrate.log").open("w") as log:
            subprocess.run([AIRFLOW, "db", "migrate"], env=environment, stdout=log, stderr=log, check=True)  # noqa: S603
        components = {name: _start(name, port, home, environment) for name in COMPONENTS}
        try:
            _wait_until_healthy(port, components, home, start_timeout_s)
            yield f"http://127.0.0.1:{port}", ADMIN, password
        finally:
            _stop([component.pid for component in components.values()])
            for component in components.values():
                component.wait()


def _install() -> None:
    if AIRFLOW.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)  # noqa: S603
    pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--requirement", str(HERE / "requirements.txt")]
    subprocess.run(pip, check=True)  # noqa: S603


def _environment(home: Path, port: int, maximum_page_limit: int) -> dict[str, str]:
    """The caller's environment without its own Airflow settings, plus ours.

    What Airflow tells about files, host and user ends up in recordings: none of it may name the machine or the person.
    """
    settings = {
        "CORE__DAGS_FOLDER": str(home / "dags"),
        "CORE__HOSTNAME_CALLABLE": "recorded_host.name",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{VIEWER}:viewer",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__WORKERS": "1",
        "API__MAXIMUM_PAGE_LIMIT": str(maximum_page_limit),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),  # the scheduler signs what the api-server checks
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "TRIGGERER__CAPACITY": "10",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return (
        kept
        | {"AIRFLOW_HOME": str(home), "LOGNAME": "airflow", "PATH": f"{VENV / 'bin'}{os.pathsep}{kept.get('PATH', '')}"}
        | {f"AIRFLOW__{name}": value for name, value in settings.items()}
    )


def _start(name: str, port: int, home: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [str(AIRFLOW), name, *COMPONENTS[name], *(["--port", str(port)] if name == "api-server" else [])]
    with (home / f"{name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _wait_until_healthy(
    port: int, components: dict[str, subprocess.Popen[bytes]], home: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while not HEALTHY.issubset(_healthy(port)):
        for name, component in components.items():
            if component.poll() is not None:
                raise RuntimeError(f"airflow {name} stopped:\n{(home / f'{name}.log').read_text()[-4000:]}")
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(HEALTHY - _healthy(port)))
            raise TimeoutError(f"not healthy within {timeout_s:.0f} s: {missing}")
        time.sleep(1)


def _healthy(port: int) -> set[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/api/v2/monitor/health")
            response = connection.getresponse()
            parts = json.loads(response.read()) if response.status == http.HTTPStatus.OK else {}
        except OSError:  # nobody listens yet
            return set()
    return {name for name, part in parts.items() if part["status"] == "healthy"}


def _stop(roots: list[int]) -> None:
    """Kill the whole tree, parents first so that none starts another child.

    No grace: the database is thrown away, and a task's supervisor leaves its scheduler's process group, so stopping the
    components politely leaves the long-running task behind.
    """
    for pid in _tree(roots):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _tree(roots: list[int]) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout  # noqa: S607
    pairs = [(int(pid), int(parent)) for pid, parent in (line.split() for line in listing.splitlines())]
    tree = list(roots)
    for ancestor in tree:  # grows while it is walked
        tree += [pid for pid, parent in pairs if parent == ancestor]
    return tree


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt), airflow_server() as (base_url, username, password):
        sys.stdout.write(f"{base_url}\n{username}\n{password}\n")
        sys.stdout.flush()
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
