"""The rows, in the order of the table: importing this package registers them."""

from tests.endurance.fault_table.rows import signals, workers, dream, memory, storage, tracking, arguments, nodes  # noqa: F401, I001
