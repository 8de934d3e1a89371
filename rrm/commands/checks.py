"""The table of checks: a new check is a function, and a line here."""

from rrm.cluster import doctor as cluster
from rrm.doctor import deep, devices, installation, machine, ports, storage
from rrm.tracking import doctor as tracking

CHECKS = {
    "python": installation.python_version,
    "packages": installation.packages,
    "rrm": installation.imported,
    "cpu": machine.cpus,
    "load": machine.load,
    "threads": machine.threads,
    "memory": machine.memory,
    "shared memory": machine.shared_memory,
    "open files": machine.open_files,
    "processes": machine.user_processes,
    "gpu": devices.gpus,
    "arithmetic": devices.arithmetic,
    "storage": storage.folder,
    "space": storage.space,
    "locks": storage.locks,
    "sqlite": storage.database,
    "ray sockets": cluster.sockets,
    "ray sessions": cluster.sessions,
    "tracking": tracking.store,
    "spool": tracking.spool,
    "deleted": tracking.deleted,
    "runs": tracking.runs,
    "jobs": cluster.jobs,
    "ports": ports.ports,
    "exposed": ports.exposed,
    "token": cluster.token,
    "cluster": cluster.cluster,
}

# Only with --deep.
DEEP = {"ray": cluster.local_task, "mlflow": tracking.write_and_read, "gloo": deep.all_reduce}
