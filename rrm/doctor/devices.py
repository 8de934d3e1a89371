"""The devices that PyTorch sees, against the devices that the driver sees, and whether they compute."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator

from rrm.doctor.finding import Finding, Setting, fail, ok, warn

# Largest error of a float32 product of 64 terms of order one, against float64. TF32 passes, garbage does not.
TOLERANCE = 0.05


def _driver_sees() -> tuple[list[str], str]:
    """(names of the GPUs that nvidia-smi lists, the first line of its complaint or "")."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    try:
        done = subprocess.run([program, "-L"], capture_output=True, encoding="utf-8", errors="replace", timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi does not answer ({type(error).__name__})"
    names = [line.split(" (UUID")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]
    complaint = (done.stdout + done.stderr).strip() if done.returncode else ""
    return names, complaint.splitlines()[0] if complaint else ""


def _count(names: list[str]) -> str:
    return f"{len(names)} GPU" + "s" * (len(names) > 1)


def gpus(setting: Setting) -> Iterator[Finding]:
    """GPUs that the driver sees and PyTorch does not use."""
    import torch

    names, complaint = _driver_sees()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    reason = str(caught[0].message).splitlines()[0] if caught else ""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if count:
        for index in range(count):
            halves = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
            memory = torch.cuda.get_device_properties(index).total_memory / 1e9
            yield ok(f"GPU {index}: {torch.cuda.get_device_name(index)}, {memory:.0f} GB, {halves}")
    elif complaint:
        yield warn(
            f"nvidia-smi: {complaint}",
            "the driver does not work, so only CPUs are used",
            "reinstall or reload the driver, or start the container with --gpus all",
        )
    elif not names:
        yield ok("none: CPUs only")
    elif hidden is not None and hidden.split(",")[0].strip() in ("", "-1", "NoDevFiles"):
        yield warn(
            f"nvidia-smi sees {_count(names)}, and CUDA_VISIBLE_DEVICES={hidden!r} hides them",
            "everything runs on the CPU",
            "unset CUDA_VISIBLE_DEVICES, or name GPUs in it",
        )
    elif torch.version.cuda is None and torch.version.hip is None:
        yield warn(
            f"nvidia-smi sees {_count(names)}, and torch {torch.__version__} is built without CUDA",
            "everything runs on the CPU",
            "pip uninstall torch, then install the CUDA build by the command on pytorch.org",
        )
    else:
        yield fail(
            f"nvidia-smi sees {_count(names)}, and torch {torch.__version__} (CUDA {torch.version.cuda}) none"
            + f" ({reason})" * bool(reason),
            "the driver is too old for this build, or the GPU is not let into the container",
            "update the driver, install a torch build for its CUDA version, or docker run --gpus all",
        )


def arithmetic(setting: Setting) -> Iterator[Finding]:
    """A small product on every device against the same in float64."""
    import torch

    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    left, right = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = left.double() @ right.double()
    good = []
    for device in devices:
        for dtype in (torch.float32, torch.float64):
            name = f"{device} {str(dtype).removeprefix('torch.')}"
            try:
                error = float((left.to(device, dtype) @ right.to(device, dtype)).cpu().double().sub(exact).abs().max())
            except RuntimeError as problem:
                yield fail(
                    f"{name}: {str(problem).splitlines()[0]}",
                    "the device cannot compute: another program holds it, or this torch build has no code for it",
                    "see nvidia-smi; else install a build for this GPU "
                    "from pytorch.org, or hide it with CUDA_VISIBLE_DEVICES",
                )
                continue
            if error < TOLERANCE:
                good.append(name)
            else:
                yield fail(
                    f"{name}: a product is off by {error:.3g}",
                    "results of this device are wrong",
                    "hide it with CUDA_VISIBLE_DEVICES, and have it tested",
                )
    if good:
        yield ok(f"a product is right on {', '.join(good)}")
