"""The doctor, on what is whole and on what is really broken."""

import fcntl
import json
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rrm.__main__ import main
from rrm.cluster import doctor as cluster
from rrm.cluster import temporary
from rrm.commands.doctor import examine
from rrm.doctor import Setting, deep, devices, installation, machine, ports, processes, storage
from rrm.tracking import Tracker, default_uri
from rrm.tracking import doctor as tracking
from rrm.tracking.driver import driver_tags

LOCAL_ONLY = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc")


@pytest.fixture(autouse=True)
def fresh():
    tracking._store.cache_clear()


@pytest.fixture
def setting(tmp_path):
    def make(folder="runs", uri=None, address=None):
        path = tmp_path / folder
        return Setting(path, uri or default_uri(path), address)

    return make


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A storage folder with a store of one finished study and one interrupted sweep."""
    folder = tmp_path_factory.mktemp("filled")
    for name, role, status in (("one", "study", "FINISHED"), ("two", "sweep", "KILLED")):
        with Tracker(default_uri(folder), "experiment", name, folder / "artifacts") as tracker:
            tracker.finish(tracker.run(role, name), status)
        (folder / name).mkdir(exist_ok=True)
        (folder / name / f"{role}.json").write_text("{}")
    return folder


@pytest.fixture
def store(filled, tmp_path):
    """A copy of that folder, to be broken."""
    return Path(shutil.copytree(filled, tmp_path / "runs"))


def only(check, setting):
    """(level, the whole line) of a check's one finding."""
    (finding,) = examine(check, setting)
    return finding.level, finding.line("x")


def refused(name, version="3.17.2"):
    """A handler that answers like an MLflow server, and with this (status, text) for experiments."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = (200, version if self.path == "/version" else "OK")
            if self.path.startswith("/api"):
                status, text = name
                if status == 401 and self.headers["Authorization"] == "Basic YW5uOnNlY3JldA==":
                    status, text = 200, "{}"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def server():
    running = []

    def start(handler):
        running.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=running[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}"

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


# What is whole.


def test_a_healthy_machine(setting, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    here = setting()
    for check in (installation.python_version, installation.packages, installation.imported, devices.arithmetic,
                  storage.folder, storage.locks, storage.database, tracking.store, cluster.sockets,
                  cluster.jobs):  # fmt: skip
        level, line = only(check, here)
        assert level == "ok", line
    for check in (machine.cpus, machine.load, machine.threads, machine.memory, machine.shared_memory,
                  machine.open_files, machine.user_processes, devices.gpus, storage.space, ports.ports,
                  cluster.sessions):  # fmt: skip
        assert all("the check broke" not in finding.found for finding in examine(check, here))
    assert not here.storage.exists()  # looking makes nothing


def test_arguments_and_exit_codes(tmp_path, capsys, monkeypatch):
    from rrm.commands import checks

    monkeypatch.setattr(checks, "CHECKS", {"storage": storage.folder, "tracking": tracking.store})
    assert main(["doctor", "--storage", str(tmp_path / "runs")]) == 0
    (tmp_path / "file").touch()
    assert main(["doctor", "--storage", str(tmp_path / "file")]) == 1
    assert "fail  storage" in capsys.readouterr().out
    for wrong in (["doctor", "--nonsense"], ["doctor", "--tracking-uri", "ftp://x"], ["doctor", "--storage", "s3://x"],
                  ["patient"], []):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom rrm.__main__ import main\n"
        "try:\n    main(['doctor', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'ray', 'mlflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_check_that_breaks_is_a_finding_and_shows_no_password(capsys, tmp_path, monkeypatch):
    from rrm.commands import checks

    def broken(setting):
        raise RuntimeError(f"no {setting.tracking_uri}\nat all")
        yield

    monkeypatch.setattr(checks, "CHECKS", {"broken": broken})
    assert main(["doctor", "--storage", str(tmp_path), "--tracking-uri", "postgresql://ann:pass@host/db"]) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("fail  broken") and "RuntimeError" in line and "pass@" not in line


# Installation, machine and devices.


def test_a_package_that_is_missing_too_new_or_without_its_extras(setting, monkeypatch):
    monkeypatch.setattr(installation, "_asked", lambda: (">=99", ["nowhere>=1", "numpy<1", "mlflow[databricks]>=1"]))
    assert [finding.level for finding in installation.packages(setting())] == ["fail", "warn", "fail"]
    assert only(installation.python_version, setting())[0] == "fail"


def test_another_rrm_than_the_installed_one(setting, monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "HERE", tmp_path)
    level, line = only(installation.imported, setting())
    assert level == "warn" and f"pip install -e {tmp_path}" in line


@pytest.mark.parametrize("limit, level", [((256, 256), "fail"), ((1024, 4096), "warn"), ((1024, 8192), "ok")])
def test_too_few_open_files(limit, level):
    code = (
        "import pathlib\nfrom rrm.doctor import Setting, machine\n"
        "print(*[f.level for f in machine.open_files(Setting(pathlib.Path('x'), ''))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))  # fmt: skip
    assert done.stdout.strip() == level


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_a_container(setting, monkeypatch, tmp_path, version):
    files = {  # the group above grants less than the group itself
        "sys/cpu/above/cpu.cfs_quota_us": "50000", "sys/cpu/above/own/cpu.cfs_quota_us": "-1",
        "sys/memory/above/memory.limit_in_bytes": "1000000000", "sys/memory/memory.limit_in_bytes": str(2**63 - 4096),
        "proc": "4:cpu,cpuacct:/above/own\n3:memory:/above/own\n2:pids:/x",
    } if version == 1 else {
        "sys/above/cpu.max": "100000 200000", "sys/above/own/cpu.max": "max 100000",
        "sys/above/memory.max": "1000000000", "sys/above/own/memory.max": "max", "proc": "0::/above/own",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "sys")
    monkeypatch.setattr(machine, "GROUPS_OF_THIS", tmp_path / "proc")
    assert (machine.cpu_quota(), machine.memory_limit()) == (0.5, 10**9)
    if hasattr(os, "sched_getaffinity"):
        assert only(machine.cpus, setting())[0] == "warn" and only(machine.memory, setting())[0] == "warn"


def test_a_machine_that_is_too_busy(setting, monkeypatch):
    for waiting, level in ((1000.0, "warn"), (0.5, "ok")):
        monkeypatch.setattr(os, "getloadavg", lambda waiting=waiting: (waiting, 0.0, 0.0))
        assert only(machine.load, setting())[0] == level


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A driver that claims two GPUs, or complains."""

    def install(script='echo "GPU 0: NVIDIA H200 (UUID: GPU-1)"; echo "GPU 1: NVIDIA H200 (UUID: GPU-2)"'):
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    import torch

    if torch.cuda.is_available():
        pytest.skip("the GPU is real")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return install


def test_gpus_that_are_hidden(setting, nvidia_smi, monkeypatch):
    nvidia_smi()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    level, line = only(devices.gpus, setting())
    assert level == "warn" and "sees 2 GPUs" in line and "unset CUDA_VISIBLE_DEVICES" in line


def test_gpus_that_this_build_cannot_use(setting, nvidia_smi, monkeypatch):
    import torch

    nvidia_smi()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in only(devices.gpus, setting())[1]
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    level, line = only(devices.gpus, setting())
    assert level == "fail" and "update the driver" in line


def test_a_driver_that_does_not_work(setting, nvidia_smi):
    nvidia_smi("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    level, line = only(devices.gpus, setting())
    assert level == "warn" and "version mismatch" in line


def test_a_device_that_computes_wrongly(setting, monkeypatch):
    import torch

    product = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: product(a, b) * (1 if a.dtype == torch.float64 else 2))
    findings = list(devices.arithmetic(setting()))
    assert [finding.level for finding in findings] == ["fail", "ok"] and "cpu float32" in findings[0].found


# Storage.


def test_storage_below_a_file_or_in_a_missing_folder(setting, tmp_path):
    (tmp_path / "file").touch()
    level, line = only(storage.folder, setting("file/runs"))
    assert level == "fail" and "is not a folder" in line
    assert list(storage.locks(setting("file/runs"))) == list(storage.database(setting("file/runs"))) == []
    level, line = only(storage.folder, setting("a/b/c"))
    assert level == "ok" and "can be made" in line and not (tmp_path / "a").exists()


def test_storage_that_is_a_loop_of_links(tmp_path, capsys, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setattr("rrm.commands.checks.CHECKS", {"folder": storage.folder})
    assert main(["doctor", "--storage", str(tmp_path / "loop")]) == 1
    assert "is not a folder" in capsys.readouterr().out


@LOCAL_ONLY
def test_storage_that_cannot_be_written(setting):
    # /proc takes no files, not even of root.
    level, line = only(storage.folder, Setting(Path("/proc"), ""))
    assert level == "fail" and "cannot be written to" in line


def test_a_full_disk(setting, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**8}))
    level, line = only(storage.space, setting())
    assert level == "fail" and "no space left" in line


def test_a_file_system_without_locks(setting, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert only(storage.locks, setting())[0] == "fail"
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # as on some network mounts: granted to everybody
    level, line = only(storage.locks, setting())
    assert level == "fail" and "granted twice" in line


def test_sqlite_that_cannot_lock(setting, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(f"file:{path}?nolock=1", uri=True, **options)
    )
    assert only(storage.database, setting())[0] == "fail"


# Tracking.


def test_a_store_in_order(setting, store):
    level, line = only(tracking.store, setting())
    assert level == "ok" and "whole" in line


def test_a_damaged_store(setting, store):
    path = store / "mlflow.db"
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    level, line = only(tracking.store, setting())
    assert level == "fail" and "damaged" in line and ".recover" in line
    assert list(tracking.runs(setting())) == []  # not asked


def test_a_store_that_is_no_database(setting, store):
    (store / "mlflow.db").write_text("no database" * 100)
    assert only(tracking.store, setting())[0] == "fail"


@pytest.mark.parametrize(
    "version, cure", [("451aebb31d03", "mlflow db upgrade"), ("ffffffffffff", "pip install --upgrade")]
)
def test_a_store_of_another_mlflow(setting, store, version, cure):
    with closing(sqlite3.connect(store / "mlflow.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", [version])
    level, line = only(tracking.store, setting())
    assert level == "fail" and version in line and cure in line


def test_a_store_left_half_made(setting, store):
    with closing(sqlite3.connect(store / "mlflow.db")) as connection, connection:
        connection.execute("delete from alembic_version")
    assert "half made" in only(tracking.store, setting())[1]


def test_a_server_that_is_not_there(setting):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    level, line = only(tracking.store, setting(uri=f"http://127.0.0.1:{port}"))
    assert level == "fail" and "refused" in line and "mlflow server" in line


def test_servers(setting, server, monkeypatch):
    import mlflow

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert only(tracking.store, setting(uri=server(refused((200, "{}"), mlflow.__version__))))[0] == "ok"
    assert only(tracking.store, setting(uri=server(refused((200, "{}"), "1.0.0"))))[0] == "warn"
    assert only(tracking.store, setting(uri=server(refused((200, "<html>")))))[0] == "fail"
    assert "--allowed-hosts" in only(tracking.store, setting(uri=server(refused((403, "Invalid Host header")))))[1]
    locked = server(refused((401, "You are not authenticated"), mlflow.__version__))
    level, line = only(tracking.store, setting(uri=locked))
    assert level == "fail" and "MLFLOW_TRACKING_USERNAME" in line
    tracking._store.cache_clear()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    assert only(tracking.store, setting(uri=locked))[0] == "ok"


@pytest.mark.parametrize("password, level", [("secret", "ok"), ("other", "fail")])
def test_a_server_whose_password_stands_in_the_credentials_file(
    setting, server, monkeypatch, tmp_path, password, level
):
    import mlflow

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".mlflow").mkdir()
    file = tmp_path / ".mlflow" / "credentials"
    file.write_text(f"[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = {password}\n")
    locked = server(refused((401, "You are not authenticated"), mlflow.__version__))
    found, line = only(tracking.store, setting(uri=locked))
    assert found == level and password not in line


def open_run(store, name, **tags):
    """A run of a sweep that is RUNNING, as its driver left it; -> its status, asked anew at each call."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=default_uri(store))
    experiment = client.get_experiment_by_name("experiment").experiment_id
    known = {"rrm.job": name, "rrm.role": "sweep", "rrm.name": name, "rrm.heartbeat": "1"}
    run = client.create_run(experiment, start_time=1, run_name=name, tags=known | tags).info.run_id
    return lambda: client.get_run(run).info.status


def test_runs_without_a_driver_are_closed(setting, store):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    tags = driver_tags()
    ended.wait()
    dead = open_run(store, "dead", **tags | {"rrm.pid": str(ended.pid)})
    alive = open_run(store, "alive", **tags)
    claimed = open_run(store, "claimed")  # of a driver that says nothing, and holds its folder
    (store / "claimed").mkdir()
    with open(store / "claimed" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        level, line = only(tracking.runs, setting())
    assert level == "warn" and "run dead of dead" in line and str(ended.pid) in line
    assert (dead(), alive(), claimed()) == ("KILLED", "RUNNING", "RUNNING")
    assert "claimed" in only(tracking.runs, setting())[1] and claimed() == "KILLED"
    assert only(tracking.runs, setting())[0] == "ok" and alive() == "RUNNING"


def test_what_a_driver_could_not_send_is_sent(setting, store):
    assert only(tracking.spool, setting())[0] == "ok"
    header = {"op": "spool", "uri": default_uri(store), "experiment": "experiment", "job": "two"}
    left = {"op": "tags", "run": "sweep/two", "tags": {"late": "yes"}}
    folder = store / "two" / "spool"

    def leave(**changed):
        folder.mkdir(exist_ok=True)
        lines = [json.dumps(line) + "\n" for line in (header | changed, left)]
        (folder / "operations.jsonl").write_text("".join(lines))

    leave(uri="http://elsewhere:5000")
    level, line = only(tracking.spool, setting())
    assert level == "warn" and "it is for http://elsewhere:5000" in line
    leave()
    level, line = only(tracking.spool, setting())
    assert level == "ok" and "1 operations" in line
    with closing(sqlite3.connect(store / "mlflow.db")) as connection:
        assert connection.execute("select value from tags where key = 'late'").fetchall() == [("yes",)]
    leave()
    (folder / "operations.jsonl").write_text("nonsense")
    assert only(tracking.spool, setting())[0] == "warn"


# Jobs, sessions and ports.


def test_jobs(setting, store):
    (store / "three").mkdir()
    (store / "three" / "sweep.json").write_text("{}")  # its driver logged elsewhere
    finished, interrupted = sorted(cluster.jobs(setting()), key=lambda finding: finding.level)
    assert "two was interrupted" in interrupted.found and "--resume" in interrupted.cure
    assert finished.found == "finished: one; not known to this store: three"
    with open(store / "two" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use: two" in only(cluster.jobs, setting())[1]


def test_a_folder_whose_sockets_have_long_paths(setting, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 60)))
    level, line = only(cluster.sockets, setting())
    assert level == "warn" and "the system takes 1" in line and "RAY_TMPDIR=/tmp" in line
    monkeypatch.setattr(temporary, "SHORT", ())
    assert only(cluster.sockets, setting())[0] == "fail"


LISTEN = (
    "import socket, sys; s = socket.create_server((sys.argv[-1], 0)); print(s.getsockname()[1], flush=True); input()"
)


@pytest.fixture
def listening():
    """Start a program under another name that listens at an address; -> (process, port)."""
    started = []

    def start(words, address, **environment):
        program = subprocess.Popen([words[0], "-c", LISTEN, *words[1:], address], executable=sys.executable, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | environment
                                   )  # fmt: skip
        started.append(program)
        return program, int(program.stdout.readline())

    yield start
    for program in started:
        program.communicate("\n")


def of(pids):
    """The findings about these processes."""
    found = processes.own_processes()
    mine = {pid: found[pid] for pid in pids}
    return [finding for finding in ports.judge_exposure(processes.listeners(mine), mine) if finding.level == "fail"]


@LOCAL_ONLY
def test_servers_that_others_can_reach(listening, monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    open_mlflow, port = listening(["mlflow", "server"], "0.0.0.0")
    (finding,) = of([open_mlflow.pid])
    assert f"0.0.0.0:{port}" in finding.found and "--host 127.0.0.1" in finding.cure
    open_ray, port = listening(["/x/gcs_server", "--session-name=session_1_2"], "0.0.0.0")
    (finding,) = of([open_ray.pid])
    assert f":{port}" in finding.found and "RAY_AUTH_MODE=token" in finding.cure
    closed = [
        listening(["mlflow", "server"], "127.0.0.1"),
        listening(["mlflow", "server", "--app-name", "basic-auth"], "0.0.0.0"),
        listening(["/x/gcs_server"], "0.0.0.0", RAY_AUTH_MODE="token"),
        listening(["someone"], "0.0.0.0"),
    ]
    assert of([program.pid for program, _ in closed]) == []


@LOCAL_ONLY
def test_a_port_that_is_taken(setting, listening, monkeypatch):
    program, port = listening(["someone"], "127.0.0.1")
    monkeypatch.setattr(ports, "PORTS", {port: ("MLflow", "choose another")})
    level, line = only(ports.ports, setting())
    assert level == "warn" and f"process {program.pid}" in line and "choose another" in line


@LOCAL_ONLY
def test_what_a_dead_session_left(setting, listening):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    session = f"session_2026-01-01_00-00-00_000001_{ended.pid}"
    left, _ = listening(["python", "/x/ray/dashboard/dashboard.py", f"--session-dir=/x/{session}"], "127.0.0.1")
    (finding,) = [f for f in cluster.sessions(setting()) if session in f.found]
    assert finding.level == "warn" and f"kill {left.pid}" in finding.cure
    worker, _ = listening(["ray::train"], "127.0.0.1")  # a child of this process, which is no raylet
    assert any("raylet is gone" in f.found and str(worker.pid) in f.cure for f in cluster.sessions(setting()))
    listening(["/x/raylet", f"--session-name={session}"], "127.0.0.1")
    assert not [f for f in cluster.sessions(setting()) if session in f.found]  # a node of `ray start`


# The cluster.


def test_the_token_of_a_cluster(setting, monkeypatch, tmp_path):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    assert only(cluster.token, setting())[0] == "ok"
    level, line = only(cluster.token, setting(address="host:6379"))
    assert level == "fail" and "copy the token" in line
    path.write_text("secret")
    path.chmod(0o644)
    assert only(cluster.token, setting())[0] == "ok"  # pytest's folders let nobody else in
    monkeypatch.setattr(Path, "resolve", lambda self: Path("/tmp/token"))
    level, line = only(cluster.token, setting())
    assert level == "fail" and f"chmod 600 {path}" in line and "secret" not in line
    assert f"rm {path} && ray get-auth-token --generate > /dev/null && chmod 600 {path}" in line
    path.chmod(0o600)
    assert only(cluster.token, setting(address="host:6379"))[0] == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "tokens")
    assert only(cluster.token, setting())[0] == "fail"


def test_a_cluster_that_is_not_there(setting):
    level, line = only(cluster.cluster, setting(address="127.0.0.1:1"))
    assert level == "fail" and "refused" in line and "ray start --head" in line


def test_nodes_that_differ(tmp_path, setting):
    from importlib import metadata
    from platform import python_version

    same = {"node": "10.0.0.2", "host": "b", "python": python_version(), "sees": True, "behind_s": 0.0}
    same |= {name: metadata.version(name) for name in ("ray", "torch", "numpy", "rrm")}
    release = same["torch"].partition("+")[0]
    levels = {
        (): ["ok"],
        ("python", "3.9.1"): ["fail"],
        ("torch", release + "+cu126"): ["ok"],
        ("torch", "2.8.0+cu126"): ["fail"],
        ("rrm", None): ["fail"],
        ("sees", False): ["fail"],
        ("behind_s", 40.0): ["warn"],
        ("error", "no worker"): ["fail"],
    }
    for change, expected in levels.items():
        node = same | ({change[0]: change[1]} if change else {})
        assert [finding.level for finding in cluster.judge_node(node, tmp_path)] == expected, change


# With --deep.


def test_two_processes_add(setting):
    level, line = only(deep.all_reduce, setting())
    assert level == "ok", line


def test_a_run_is_written_and_read(setting):
    assert only(tracking.write_and_read, setting())[0] == "ok"


def test_a_local_ray_runs_a_task(setting):
    if only(machine.load, setting())[0] == "warn":
        pytest.skip("the machine is too busy for Ray to start in its time")
    level, line = only(cluster.local_task, setting())
    assert level == "ok", line
