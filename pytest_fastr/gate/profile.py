"""The hardware profile: what a baseline is only comparable within.

The key is what changes the numbers by itself: CPU, usable cores, architecture, operating system, interpreter
and measuring protocol. All else that may matter (kernel, libc, patch versions) is recorded beside it, so that
the update of a runner's image does not lose the baselines. Nothing here identifies a machine: no host name,
no serial number.

Functions that read /proc and /sys take the root they lie under.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from pytest_fastr.gate.reference import REFERENCE_VERSION

PROTOCOL_VERSION = 2
"""The version of the measuring protocol: raised when numbers measured before and after cannot be compared."""

_VENDORS = {
    "GenuineIntel": "Intel",
    "AuthenticAMD": "AMD",
    "HygonGenuine": "Hygon",
    "CentaurHauls": "Centaur",
}
_ARM_IMPLEMENTERS = {
    "0x41": "ARM",
    "0x46": "Fujitsu",
    "0x48": "HiSilicon",
    "0x4e": "NVIDIA",
    "0x51": "Qualcomm",
    "0x61": "Apple",
    "0x6d": "Microsoft",
    "0xc0": "Ampere",
}
_SYSTEMS = {"darwin": "macos"}
_MAX_CPU_SLUG = 40


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor as the operating system names it.

    ``model_id`` tells apart what shares a marketing name, as virtual machines' "Intel Xeon Processor" do.
    """

    vendor: str
    model: str
    model_id: str


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """What must be equal for two measurements to be comparable."""

    cpu_vendor: str
    cpu_model: str
    cpu_model_id: str
    cores: int
    architecture: str
    system: str
    implementation: str
    python: str
    build_flags: tuple[str, ...]
    protocol: int = PROTOCOL_VERSION
    reference: int = REFERENCE_VERSION


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is recorded beside the key and may change without losing the baselines."""

    kernel: str
    libc: str | None
    virtualisation: str | None
    python_version: str
    engine_version: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class HardwareProfile:
    """The key, and what is recorded beside it."""

    key: ProfileKey
    recorded: Surroundings

    @property
    def slug(self) -> str:
        """Readable name with a hash of the key, such as `intel-xeon-2c-x86_64-linux-cpython3.11-0a1b2c3d`."""
        key = self.key
        digest = hashlib.sha256(json.dumps(asdict(key), sort_keys=True, separators=(",", ":")).encode())
        parts = [
            _cpu_slug(key.cpu_vendor, key.cpu_model),
            f"{key.cores}c",
            _slug(key.architecture),
            _slug(key.system),
            _slug(f"{key.implementation}{key.python}"),
            *key.build_flags,
            digest.hexdigest()[:8],
        ]
        return "-".join(parts)

    def as_dict(self) -> dict[str, object]:
        """`slug`, `key` and `recorded`, as JSON values."""
        key = {**asdict(self.key), "build_flags": list(self.key.build_flags)}
        return {"slug": self.slug, "key": key, "recorded": asdict(self.recorded)}


def detect(version: str, root: Path = Path("/")) -> HardwareProfile:
    """The profile of this process. `version` is the package's."""
    cpu = read_cpu(root)
    system = platform.system().lower() or sys.platform
    key = ProfileKey(
        cpu_vendor=cpu.vendor,
        cpu_model=cpu.model,
        cpu_model_id=cpu.model_id,
        cores=usable_cores(root, _affinity()),
        architecture=platform.machine() or "unknown",
        system=_SYSTEMS.get(system, system),
        implementation=sys.implementation.name,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        build_flags=build_flags(),
    )
    recorded = Surroundings(
        kernel=platform.release(),
        libc=" ".join(platform.libc_ver()).strip() or None,
        virtualisation=read_virtualisation(root),
        python_version=platform.python_version(),
        engine_version=version,
        memory_bytes=read_memory(root),
    )
    return HardwareProfile(key, recorded)


def build_flags() -> tuple[str, ...]:
    """What makes this interpreter another one than the usual build: `debug`, `freethreaded`, `jit`."""
    flags = []
    if hasattr(sys, "gettotalrefcount"):
        flags.append("debug")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        # An extension or PYTHON_GIL can switch the lock on again, which is another interpreter to measure.
        enabled = getattr(sys, "_is_gil_enabled", bool)()
        flags.append("freethreaded-gil" if enabled else "freethreaded")
    jit = getattr(sys, "_jit", None)
    if jit is not None and jit.is_enabled():
        flags.append("jit")
    return tuple(flags)


def read_cpu(root: Path) -> Cpu:
    """The processor, from /proc/cpuinfo, or from sysctl where there is none."""
    fields = _cpuinfo(root)
    if not fields:
        brand = _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine() or "unknown"
        vendor = next((name for name in ("Apple", "Intel", "AMD") if name in brand), "unknown")
        return Cpu(vendor, brand, "")
    if "vendor_id" in fields:
        vendor = fields["vendor_id"]
        model_id = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
        return Cpu(_VENDORS.get(vendor, vendor), fields.get("model name", "unknown"), model_id)
    if "CPU implementer" in fields:
        implementer = fields["CPU implementer"]
        part = fields.get("CPU part", "?")
        model = fields.get("model name", f"part {part}")
        model_id = f"part {part} variant {fields.get('CPU variant', '?')}"
        return Cpu(_ARM_IMPLEMENTERS.get(implementer, implementer), model, model_id)
    model = fields.get("model name") or fields.get("cpu") or fields.get("uarch") or "unknown"
    return Cpu("unknown", model, fields.get("isa", ""))


def usable_cores(root: Path, affinity: int) -> int:
    """The cores to use: the affinity, or the cgroup's quota, rounded up, where that is less; at least one."""
    quota = cgroup_quota(root)
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def cgroup_quota(root: Path) -> float | None:
    """The smallest CPU quota, in cores, of this process' cgroup and those above it, or None."""
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return None
    mounts = root / "sys/fs/cgroup"
    quotas: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for mount in (mounts, mounts / "unified"):
                quotas += [quota for folder in _lineage(mount, path) for quota in _quota_v2(folder)]
        elif "cpu" in controllers.split(","):
            for mount in (mounts / "cpu", mounts / "cpu,cpuacct"):
                quotas += [quota for folder in _lineage(mount, path) for quota in _quota_v1(folder)]
    return min(quotas, default=None)


def read_virtualisation(root: Path) -> str | None:
    """What virtual machine this is, as far as it tells; None on bare metal."""
    vendor, product = (_line(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    hypervisor = _line(root / "sys/hypervisor/type")
    flagged = "hypervisor" in _cpuinfo(root).get("flags", "").split()
    named = re.search(
        r"qemu|kvm|amazon ec2|google|virtual|vmware|xen|parallels|firecracker", f"{vendor} {product}", re.I
    )
    if flagged or hypervisor or named:
        return " ".join(part for part in (hypervisor, vendor, product) if part) or "virtual machine"
    return "virtual machine" if _sysctl("kern.hv_vmm_present") == "1" else None


def read_memory(root: Path) -> int | None:
    """The machine's memory in bytes."""
    try:
        match = re.search(r"^MemTotal:\s*(\d+) kB", (root / "proc/meminfo").read_text(), re.M)
        if match:
            return int(match[1]) * 1024
        return None
    except OSError:
        size = _sysctl("hw.memsize")
        return int(size) if size and size.isdigit() else None


def render_profile(profile: HardwareProfile) -> str:
    """The text of `pytest-fastr profile`."""
    key = asdict(profile.key)
    key["build_flags"] = ", ".join(profile.key.build_flags) or "none"
    recorded = asdict(profile.recorded)
    memory = profile.recorded.memory_bytes
    recorded["memory_bytes"] = None if memory is None else f"{memory} ({memory / 2**30:.1f} GiB)"
    width = max(len(name) for name in (*key, *recorded))

    def lines(values: dict[str, object]) -> Iterator[str]:
        for name, value in values.items():
            shown = "unknown" if value is None or value == "" else value
            yield f"  {name.replace('_', ' '):<{width}}  {shown}"

    return "\n".join(
        [
            f"profile  {profile.slug}",
            "",
            "key (baselines count for one key only):",
            *lines(key),
            "",
            "recorded beside it:",
            *lines(recorded),
        ]
    )


def _affinity() -> int:
    # macOS has no affinity to ask for.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _cpuinfo(root: Path) -> dict[str, str]:
    """The fields of /proc/cpuinfo. Cores that differ (big and little ones) add their parts."""
    try:
        text = (root / "proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return {}
    seen: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            values = seen.setdefault(name.strip(), [])
            if value.strip() not in values:
                values.append(value.strip())
    joined = ("model name", "CPU part")
    return {name: "+".join(sorted(values)) if name in joined else values[0] for name, values in seen.items()}


def _lineage(mount: Path, path: str) -> Iterator[Path]:
    """The cgroup's folder and those above it. In a container only the mount may exist of a host's path."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    for count in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:count])


def _quota_v2(folder: Path) -> Iterator[float]:
    quota, _, period = _line(folder / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _quota_v1(folder: Path) -> Iterator[float]:
    quota, period = (_line(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    # No quota is written as -1.
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        yield int(quota) / int(period)


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _sysctl(name: str) -> str | None:
    if platform.system() != "Darwin":
        return None
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _cpu_slug(vendor: str, model: str) -> str:
    plain = re.sub(r"\((?:r|tm|c)\)|@.*$|\bcpu\b|\bprocessor\b|\b\d+-core\b", " ", model, flags=re.I)
    slug = _slug(plain)
    owner = _slug(vendor)
    if owner and owner not in slug.split("-"):
        slug = f"{owner}-{slug}" if slug else owner
    return slug[:_MAX_CPU_SLUG].strip("-") or "cpu"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")
