"""The profile's key holds what makes numbers incomparable, and nothing that an image update changes."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fastr.gate.profile import (
    PROTOCOL_VERSION,
    Cpu,
    HardwareProfile,
    ProfileKey,
    Surroundings,
    cgroup_quota,
    detect,
    read_cpu,
    read_memory,
    read_virtualisation,
    render_profile,
    usable_cores,
)
from pytest_fastr.gate.reference import REFERENCE_VERSION

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 167
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse2 hypervisor avx

processor\t: 1
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 167
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse2 hypervisor avx
"""
GRAVITON = """processor\t: 0
BogoMIPS\t: 243.75
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def profile() -> HardwareProfile:
    key = ProfileKey(
        "Intel",
        "Intel(R) Xeon(R) Processor",
        "family 6 model 167",
        2,
        "x86_64",
        "linux",
        "cpython",
        "3.11",
        (),
    )
    return HardwareProfile(key, Surroundings("6.1.0", "glibc 2.36", None, "3.11.7", "0.1.0", 8 * 2**30))


def test_the_slug_reads_as_the_hardware_and_ends_in_a_hash(profile: HardwareProfile) -> None:
    assert re.fullmatch(r"intel-xeon-2c-x86_64-linux-cpython3\.11-[0-9a-f]{8}", profile.slug)


@pytest.mark.parametrize(
    ("vendor", "model", "start"),
    [
        ("Intel", "Intel(R) Xeon(R) Platinum 8370C CPU @ 2.80GHz", "intel-xeon-platinum-8370c-2c-"),
        ("AMD", "AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-2c-"),
        ("Apple", "Apple M1 (Virtual)", "apple-m1-virtual-2c-"),
        ("ARM", "part 0xd0c", "arm-part-0xd0c-2c-"),
        ("unknown", "", "unknown-2c-"),
        ("../..", "ü/\\\n", "cpu-2c-"),
    ],
)
def test_any_processor_makes_a_slug_that_is_a_folder_name(
    profile: HardwareProfile, vendor: str, model: str, start: str
) -> None:
    slug = replace(profile, key=replace(profile.key, cpu_vendor=vendor, cpu_model=model)).slug
    assert slug.startswith(start)
    assert re.fullmatch(r"[a-z0-9._-]{1,120}", slug)


@pytest.mark.parametrize(
    "change",
    [
        {"cpu_vendor": "AMD"},
        {"cpu_model": "Intel(R) Xeon(R) CPU"},
        {"cpu_model_id": "family 6 model 85"},
        {"cores": 4},
        {"architecture": "aarch64"},
        {"system": "macos"},
        {"implementation": "pypy"},
        {"python": "3.12"},
        {"build_flags": ("debug",)},
        {"protocol": PROTOCOL_VERSION + 1},
        {"reference": REFERENCE_VERSION + 1},
    ],
)
def test_every_field_of_the_key_makes_another_profile(profile: HardwareProfile, change: dict[str, object]) -> None:
    assert replace(profile, key=replace(profile.key, **change)).slug != profile.slug  # type: ignore[arg-type]


def test_what_is_recorded_beside_the_key_keeps_the_profile(profile: HardwareProfile) -> None:
    other = Surroundings("6.9.1", None, "KVM", "3.11.9", "0.2.0", 1)
    assert replace(profile, recorded=other).slug == profile.slug


def test_the_profile_is_a_mapping_of_json_values(profile: HardwareProfile) -> None:
    values = profile.as_dict()
    assert json.loads(json.dumps(values)) == values
    assert set(values) == {"slug", "key", "recorded"}


def test_the_profile_of_this_process_is_the_same_twice_and_names_no_machine() -> None:
    first = detect("1.2.3")
    assert first == detect("1.2.3")
    assert first.key.cores >= 1
    assert first.recorded.engine_version == "1.2.3"
    node = platform.node()
    assert len(node) < 4 or node not in render_profile(first)


def test_a_system_that_tells_nothing_still_has_a_profile(tmp_path: Path) -> None:
    found = detect("1", tmp_path)
    assert found.key.cores >= 1
    assert found.recorded.memory_bytes is None or found.recorded.memory_bytes > 0
    assert found.slug in render_profile(found)


def test_an_intel_processor_is_read(tmp_path: Path) -> None:
    found = read_cpu(tree(tmp_path, {"proc/cpuinfo": XEON}))
    assert found == Cpu("Intel", "Intel(R) Xeon(R) Processor", "family 6 model 167")


def test_an_arm_processor_is_read_by_its_part(tmp_path: Path) -> None:
    assert read_cpu(tree(tmp_path, {"proc/cpuinfo": GRAVITON})) == Cpu("ARM", "part 0xd0c", "part 0xd0c variant 0x3")


def test_big_and_little_cores_are_both_in_the_model(tmp_path: Path) -> None:
    both = GRAVITON + "\n" + GRAVITON.replace("0xd0c", "0xd05")
    assert read_cpu(tree(tmp_path, {"proc/cpuinfo": both})).model == "part 0xd05+0xd0c"


def test_the_cores_are_the_affinity_where_nothing_limits_them(tmp_path: Path) -> None:
    assert usable_cores(tmp_path, 6) == 6
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert usable_cores(root, 6) == 6


def test_a_quota_is_rounded_up_to_whole_cores(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"})
    assert cgroup_quota(root) == 1.5
    assert usable_cores(root, 6) == 2
    assert usable_cores(root, 1) == 1


def test_a_tiny_quota_is_still_one_core(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"})
    assert usable_cores(root, 6) == 1


def test_the_smallest_quota_up_the_tree_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pods/mine/leaf\n",
            "sys/fs/cgroup/pods/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/pods/mine/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/pods/mine/leaf/cpu.max": "max 100000\n",
        },
    )
    assert usable_cores(root, 8) == 2


def test_a_container_that_sees_its_host_s_path_uses_the_mount(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/../docker/abc\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"})
    assert usable_cores(root, 8) == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_the_first_cgroup_version_counts(tmp_path: Path, mount: str) -> None:
    folder = f"sys/fs/cgroup/{mount}/jobs"
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/jobs\n",
            f"{folder}/cpu.cfs_quota_us": "300000\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
        },
    )
    assert usable_cores(root, 8) == 3
    tree(tmp_path, {f"{folder}/cpu.cfs_quota_us": "-1\n"})
    assert usable_cores(root, 8) == 8


def test_a_virtual_machine_is_named_as_far_as_it_tells(tmp_path: Path) -> None:
    assert read_virtualisation(tree(tmp_path, {"proc/cpuinfo": XEON})) == "virtual machine"
    names = {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n", "sys/class/dmi/id/product_name": "m5.large\n"}
    assert read_virtualisation(tree(tmp_path, names)) == "Amazon EC2 m5.large"


def test_bare_metal_is_no_virtual_machine(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": XEON.replace("hypervisor ", ""), "sys/class/dmi/id/sys_vendor": "Dell Inc.\n"}
    if platform.system() == "Linux":
        assert read_virtualisation(tree(tmp_path, files)) is None


def test_the_memory_is_read_in_bytes(tmp_path: Path) -> None:
    assert read_memory(tree(tmp_path, {"proc/meminfo": "MemTotal:       2048 kB\nMemFree: 1 kB\n"})) == 2048 * 1024


def test_the_rendering_tells_the_key_from_what_is_recorded(profile: HardwareProfile) -> None:
    text = render_profile(profile)
    assert text.startswith(f"profile  {profile.slug}\n")
    key, _, recorded = text.partition("recorded beside it:")
    assert "Intel(R) Xeon(R) Processor" in key
    assert "build flags" in key
    assert "6.1.0" in recorded
    assert "8.0 GiB" in recorded
    assert "None" not in text
