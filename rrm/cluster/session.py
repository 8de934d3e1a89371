"""Connections to Ray: start or join a cluster, keep others out, and wait for its nodes."""

import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rrm.cluster.address import check_address, cluster_address, named
from rrm.cluster.capacity import Request, autoscaler_limits, room, trials_at_once
from rrm.cluster.temporary import ray_folder, wished_folder
from rrm.errors import InputError, out_of_space
from rrm.files import one_line
from rrm.terminal import console

PLAN = Path("~/ray_bootstrap_config.yaml")  # on the head of a cluster that `ray up` started: its configuration
PATIENCE_S = 1800  # for the first node
POLL_S = 5
NEWS_S = 60

# The C library's allocator in workers. By itself glibc gives freed tensors of some MiB back to the kernel, and taking
# that memory anew costs mixers on a CPU half of an evaluation. A trial runs in a thread, which would have a heap of its
# own without these limits.
ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}


@contextmanager
def loopback() -> Iterator[None]:
    """A Ray that is started within the block listens on 127.0.0.1 alone, and its processes know its address.

    Ray does so by itself on macOS and Windows. On Linux it takes the address of the network interface and listens on
    all interfaces; it replaces `_node_ip_address="127.0.0.1"` by that address as well.

    Ray Train's clean-up process looks for a Ray on this machine. If it finds two, it gives up, never frees the
    resources of the stopped trial, and the next trial waits for ever. RAY_ADDRESS tells it which one is ours.
    """
    from ray._private import ray_constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        with environment(RAY_GCS_SERVER_PORT=port, RAY_ADDRESS=f"127.0.0.1:{port}"):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """Set environment variables for the block, then restore them; None: the block itself may set the variable."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= {name: value for name, value in variables.items() if value is not None}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _authentication(address: str | None) -> Iterator[None]:
    """Token authentication for the length of the block, unless RAY_AUTH_MODE says otherwise.

    A local Ray gets a token of its own that no file holds, because loopback keeps out other machines but not the other
    users of this one. InputError where a cluster wants a token and there is none.
    """
    from ray import _raylet
    from ray.exceptions import AuthenticationError

    native: Any = _raylet  # whose stubs lack both classes

    def read_again() -> None:
        native.Config.initialize("")
        native.AuthenticationTokenLoader.instance().reset_cache()

    with ExitStack() as stack:
        stack.callback(read_again)
        stack.enter_context(environment(RAY_AUTH_MODE=None, RAY_AUTH_TOKEN=None))
        token = os.environ.setdefault("RAY_AUTH_MODE", "token").lower() == "token"
        if token and address is None:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        read_again()
        if token:
            try:
                known = native.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
            except (AuthenticationError, RuntimeError):
                known = False
            if not known:
                raise InputError(
                    f"no token for the Ray cluster at {named(address or 'auto')}: copy ~/.ray/auth_token from its "
                    "head, or set RAY_AUTH_MODE=disabled if the cluster has none"
                )
        yield


def resources_to_come(workers: int, gpus: float | None = None) -> dict[str, float]:
    """Resources that the cluster has or may grow to, as soon as a first trial of `workers` workers fits.

    Each worker takes `gpus` GPUs, by default one where the cluster has any. On the head of `ray up` the limits of the
    cluster are known; elsewhere the resources count that are there when the first node has come. InputError if a trial
    can never fit.
    """
    import ray
    import yaml

    plan = PLAN.expanduser()
    limits = autoscaler_limits(yaml.safe_load(plan.read_text(encoding="utf-8"))) if plan.exists() else {}

    def grown() -> dict[str, float]:
        now = ray.cluster_resources()
        return now | {name: max(limit, now.get(name, 0)) for name, limit in limits.items()}

    if gpus is None:
        gpus = 1.0 if grown().get("GPU") else 0.0
    request = Request(workers, gpus=gpus)
    if limits:
        trials_at_once(request, grown())
    if limits or not ray.cluster_resources().get("CPU"):
        _wait_for_nodes(request)
    return grown()


def _wait_for_nodes(request: Request) -> None:
    """Ask the autoscaler for the nodes of one trial, and wait for them with messages; InputError after `PATIENCE_S`."""
    import ray
    from ray.autoscaler.sdk import request_resources

    began = news = time.monotonic()
    if room(request, ray.cluster_resources()):
        return
    print(f"cluster   waiting for nodes that hold {request}, {PATIENCE_S / 60:g} minutes at most", flush=True)
    bundle = {"CPU": request.cpus} | ({"GPU": request.gpus} if request.gpus else {})
    request_resources(bundles=[bundle] * request.workers)
    try:
        while not room(request, ray.cluster_resources()):
            now = time.monotonic()
            if now - began > PATIENCE_S:
                raise InputError(
                    f"no node that holds {request} came in {PATIENCE_S / 60:g} minutes: `ray status` on the head says "
                    f"why; start the nodes, or try another instance type or region"
                )
            if now - news > NEWS_S:
                print(f"cluster   still waiting, {(now - began) / 60:.0f} minutes so far", flush=True)
                news = now
            time.sleep(POLL_S)
    finally:
        # Ray keeps a request after the end of this process: idle nodes would stay up and cost money.
        request_resources(bundles=[])


@contextmanager
def ray_session(
    address: str | None, request_workers: int, verbose: bool, gpus: float | None = None
) -> Iterator[dict[str, float]]:
    """Connect to the cluster at `address`, or start a local one for the length of the block; yields its resources.

    `request_workers` and `gpus` as in `resources_to_come`.

    Without `address`, RAY_ADDRESS counts, as in a job that was submitted to a cluster. For a cluster that grows on
    demand the resources are those to which it may grow.
    """
    check_address(address)
    address = cluster_address(address)
    if address is None:
        # A request that cannot fit is refused before Ray starts.
        trials_at_once(Request(workers=request_workers), {"CPU": os.cpu_count() or 1})
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # Train hears its workers' reports once per such interval
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_ONLY_STORE_CHECKPOINT_SCORE_ATTRIBUTE": "1",  # of old checkpoints: Tune's state stays small
        # DDP workers may wait for those of another trial, or for nodes. Whether they ever fit has been checked.
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(24 * 3600),
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    }
    settings |= ALLOCATION
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    import ray

    if not verbose:
        for name in ("ray", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        # The sweep reports a failed trial in one line; Tune keeps the traceback in the trial's folder.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        logging.getLogger("ray._private.worker").addFilter(_says_more)
    with ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_authentication(address))
            try:
                _start(address, request_workers, verbose, settings)
            except SystemExit as error:  # Ray turns SIGTERM into this while it starts
                raise KeyboardInterrupt from error
            stack.callback(ray.shutdown)
            stop_on_signals()  # undoes Ray's handler of SIGTERM, which would abort the process
        yield resources_to_come(request_workers, gpus) if address else ray.cluster_resources()


def _says_more(record: logging.LogRecord) -> bool:
    """Whether a record of Ray says more than the command's own line about a full disk.

    A driver that meets the full disk ends before it asks a trial for its result. Where the trial has met the full disk
    as well, Ray prints the traceback of an error that nobody asked for.
    """
    said = record.getMessage()
    return not (said.startswith("Unhandled error") and out_of_space(said))


def _start(address: str | None, request_workers: int, verbose: bool, settings: dict[str, str]) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    output: dict[str, Any] = {"log_to_driver": verbose, "logging_level": logging.INFO if verbose else logging.ERROR}
    if address is None:
        if (folder := ray_folder()) != wished_folder():
            print(f"cluster   Ray keeps its files in {folder}, as it cannot in {wished_folder()}")
        with loopback():
            try:
                # Ray Train's clean-up needs the dashboard; plain trials do not.
                ray.init("local", include_dashboard=request_workers > 1, _temp_dir=str(folder / "ray"), **output)
            except Exception as error:  # Ray raises no class of its own where a process does not answer in time
                raise InputError(
                    f"Ray does not start on this machine ({one_line(error)}): `python -m rrm doctor` looks for the "
                    "reason; on a busy machine end what keeps it busy, and try again"
                ) from error
        return
    # Processes of a local Ray inherit the environment; those of a cluster get it here.
    inherited = {name: os.environ[name] for name in settings if name.startswith(("RAY_TRAIN_", "MALLOC_"))}
    inherited |= console.CHILDREN
    if ":" in address and "/" not in address:
        inherited["RAY_ADDRESS"] = address  # see `loopback`
    try:
        ray.init(address=address, runtime_env={"env_vars": inherited}, **output)
    except (AuthenticationError, ConnectionError) as error:
        # Ray reports a refused token as a failed connection; the reason is in its log only.
        raise InputError(
            f"no Ray cluster answers at {named(address)} with this token ({one_line(error)}): start it or correct "
            "the address, and copy ~/.ray/auth_token from its head"
        ) from None


def stop_on_signals() -> None:
    """Let SIGTERM and Ctrl-C stop a job, in the background too, where a shell makes its jobs ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # SIGTERM becomes SIGINT, because during training Tune has a handler of SIGINT, which saves the trials.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
