"""The small parts: verdicts, what is remembered, what drivers are known by, sizes of real files, children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gguf import GGUFWriter

from runtime.devices.calibration import Verdict, judge, relative_error
from runtime.devices.calibration_model import write_calibration_model
from runtime.devices.child import ChildRunner, own_command
from runtime.devices.device import Device, NonsenseError, parse_device
from runtime.devices.drivers import driver_identity, nvidia_driver_present
from runtime.devices.memory import ResultMemory, key_of
from runtime.devices.patience import Patience
from runtime.devices.probe import Probe
from runtime.llama.model import ModelFile
from runtime.llama.model_sizes import read_sizes

if TYPE_CHECKING:
    from runtime.llama.library import Library

CARD = Device(
    backend="vulkan", index=0, name="Vulkan0", description="Card", kind="discrete", total_bytes=8 << 30, free_bytes=1
)  # fmt: skip


def figures(cpu: float, device: float, **more: float) -> list[dict[str, Any]]:
    return [{"cpu_decode": cpu}, {"error": 1e-5}, {"device_decode": device}, *({k: v} for k, v in more.items())]


def test_the_faster_one_wins() -> None:
    assert judge(CARD, figures(100, 400, cpu_prompt=500, device_prompt=5000), None).device_wins
    assert not judge(CARD, figures(100, 20), None).device_wins
    assert judge(CARD, figures(100, 20), None).in_words() == "CPU is 5.0x faster"
    assert judge(CARD, figures(100, 1), None).in_words() == "CPU is 100x faster"


def test_slow_prompts_can_lose_what_fast_tokens_win() -> None:
    assert not judge(CARD, figures(100, 110, cpu_prompt=500, device_prompt=100), None).device_wins


def test_wrong_results_lose() -> None:
    results = [{"cpu_decode": 1}, {"error": 0.5}, {"device_decode": 100}]
    assert judge(CARD, results, None).in_words() == "it computes wrong results"
    nothing = [{"cpu_decode": 1}, {"error": float("nan")}, {"device_decode": 100}]
    assert not judge(CARD, nothing, None).device_wins


@pytest.mark.parametrize("failure", ["crashed (SIGSEGV)", "did not answer within 6 s"])
def test_a_comparison_that_fails_loses(failure: str) -> None:
    verdict = judge(CARD, [{"cpu_decode": 100}], failure)
    assert not verdict.device_wins
    assert verdict.in_words() == f"the driver {failure}"
    assert not judge(CARD, [*figures(100, 400)], failure).device_wins


def test_what_was_measured_before_the_time_was_up_counts() -> None:
    assert judge(CARD, figures(100, 20), "did not answer within 4 s").in_words() == "CPU is 5.0x faster"


def test_relative_error() -> None:
    assert relative_error([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 0
    assert relative_error([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == 4
    assert relative_error([1.0, 2.0], [1.0]) == float("inf")
    assert relative_error([1.0, 2.0], [float("nan"), 2.0]) == float("inf")
    assert relative_error([0.0, 0.0], [0.0, 0.0]) == float("inf")


def test_answers_are_remembered_and_damage_is_no_trouble(tmp_path: Path) -> None:
    memory = ResultMemory(directory=tmp_path / "devices")
    key = key_of("a", 1)
    assert memory.recall(key) is None
    memory.remember(key, {"x": [1]})
    assert memory.recall(key) == {"x": [1]}
    assert memory.recall(key_of("a", 2)) is None
    file = next((tmp_path / "devices").iterdir())
    for damage in (b"", b"{", b"[1]", b"\xff"):
        file.write_bytes(damage)
        assert memory.recall(key) is None
    memory.remember(key, {"x": [1]})
    os.utime(file, (0, 0))
    assert memory.recall(key) is None
    (tmp_path / "file").write_text("")
    ResultMemory(directory=tmp_path / "file").remember(key, {})
    assert ResultMemory(directory=None).recall(key) is None


def test_an_attempt_is_marked_while_it_lasts(tmp_path: Path) -> None:
    memory = ResultMemory(directory=tmp_path)
    with memory.trying("k"):
        assert [path.name for path in tmp_path.iterdir()] == ["k.trying"]
        assert memory.abrupt_ends("k") == 0
    assert list(tmp_path.iterdir()) == []


def test_ends_are_counted_until_it_succeeds_and_others_keep_their_marks(tmp_path: Path) -> None:
    """Also where every start has the same number, as in a container that is started anew."""
    memory = ResultMemory(directory=tmp_path)
    with memory.trying("k"):
        own = (tmp_path / "k.trying").read_text()
    with subprocess.Popen(["sleep", "60"]) as other:
        began = Path(f"/proc/{other.pid}/stat").read_text().split()[21]
        running = f"{other.pid} {own.split()[1].rpartition('-')[0]}-{began}\n"
        (tmp_path / "k.trying").write_text(f"{os.getpid()} before-1\n{running}{os.getpid()} before-2\nrubbish\n")
        assert memory.abrupt_ends("k") == 2
        with memory.trying("k"):
            assert memory.abrupt_ends("k") == 2
        assert memory.abrupt_ends("k") == 2
        memory.succeeded("k")
        assert (tmp_path / "k.trying").read_text() == running
        assert memory.abrupt_ends("k") == 0
        other.kill()
    assert memory.abrupt_ends("k") == 1


def test_a_child_has_no_part_in_ctrl_c(tmp_path: Path) -> None:
    """A terminal sends it to the group of the program; a child that it ended would look like a crash."""
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, sys\n"
        "task = json.loads(sys.argv[-1])\n"
        "open(task['results'], 'w').write(json.dumps({'group': os.getpgid(0)}) + '\\n')\n"
    )
    report = ChildRunner(command=[sys.executable, str(script)], environ=os.environ).run({}, limit_s=60)
    assert report.failure is None
    assert report.results[0]["group"] != os.getpgid(0)


def test_without_a_temporary_directory_no_driver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    report = ChildRunner(command=[sys.executable], environ={}).run({}, limit_s=5)
    assert report.failure == "could not be asked (No usable temporary directory)"
    probe = Probe(
        runner=ChildRunner(command=[sys.executable], environ={}),
        memory=ResultMemory(directory=None),
        identity=list,
        environ={},
        has_loader=lambda _backend: True,
    )
    assert probe.find("vulkan", Path(sys.executable)).problem == (
        "the driver could not be asked (No usable temporary directory)"
    )


def test_patience_is_shared_by_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    patience = Patience(whole_s=9.0)
    assert patience.share(3.5) == 3.5
    now[0] += 6.0
    assert patience.share(6.0) == 3.0
    now[0] += 2.8
    assert patience.share(6.0) == 0.0


@pytest.mark.parametrize("place", ["usr/lib/x86_64-linux-gnu", "opt/driver", "cache"])
def test_nvidias_driver_is_seen_without_being_loaded(place: str, tmp_path: Path) -> None:
    environ = {"LD_LIBRARY_PATH": str(tmp_path / "opt/driver")}
    assert not nvidia_driver_present(environ, tmp_path)
    path = tmp_path / ("etc/ld.so.cache" if place == "cache" else f"{place}/libcuda.so.1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"glibc-ld.so.cache1.1\0libc.so.6\0libcuda.so.1\0/usr/lib/libcuda.so.1\0")
    assert nvidia_driver_present(environ, tmp_path)
    path.write_bytes(b"glibc-ld.so.cache1.1\0libc.so.6\0libcuda.so.11\0")
    assert nvidia_driver_present(environ, tmp_path) == (place != "cache")


def test_a_new_driver_is_another_machine(tmp_path: Path) -> None:
    before = driver_identity({}, tmp_path)
    assert driver_identity({}, tmp_path) == before
    manifests = tmp_path / "usr/share/vulkan/icd.d"
    manifests.mkdir(parents=True)
    (manifests / "radeon.json").write_text("{}")
    with_driver = driver_identity({}, tmp_path)
    assert with_driver != before
    os.utime(manifests / "radeon.json", (1, 1))
    assert driver_identity({}, tmp_path) != with_driver
    assert driver_identity({"VK_DRIVER_FILES": "/x"}, tmp_path) != driver_identity({}, tmp_path)
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    without_card = driver_identity({}, tmp_path)
    for name, text in (("class", "0x030000"), ("vendor", "0x1002"), ("device", "0x73df")):
        (card / name).write_text(f"{text}\n")
    assert driver_identity({}, tmp_path) != without_card
    without_files = driver_identity({}, tmp_path)
    (tmp_path / "dev/dri").mkdir(parents=True)
    (tmp_path / "dev/dri/renderD128").touch()
    assert driver_identity({}, tmp_path) != without_files
    json.dumps(driver_identity({}, tmp_path))


@pytest.mark.parametrize("folder", ["usr/lib/wsl/lib", "usr/local/nvidia/lib64", "opt/driver"])
def test_a_driver_that_is_replaced_is_another_machine(folder: str, tmp_path: Path) -> None:
    environ = {"LD_LIBRARY_PATH": f"/nowhere::{tmp_path / 'opt/driver'}"}
    library = tmp_path / folder / "libcuda.so.1"
    library.parent.mkdir(parents=True)
    library.write_text("12")
    before = driver_identity(environ, tmp_path)
    assert driver_identity(environ, tmp_path) == before
    library.write_text("new")
    assert driver_identity(environ, tmp_path) != before


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": 5},
        {"description": "a\nb"},
        {"description": "x" * 201},
        {"kind": "toaster"},
        {"index": -1},
        {"index": True},
        {"free_bytes": -1},
        {"free_bytes": 1.5},
        {"free_bytes": 9 << 30},
        {"total_bytes": 1 << 60},
        {"surprise": 1},
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    assert parse_device(CARD.to_json()) == CARD
    with pytest.raises(NonsenseError):
        parse_device({**CARD.to_json(), **changes})
    with pytest.raises(NonsenseError):
        parse_device([])


def test_sizes_come_from_the_header(library: Library, tiny_model: Path, tmp_path: Path) -> None:
    """Alone and inside another file; together they are all of the model but its embedding and small change."""
    sizes = read_sizes(library, ModelFile(path=tiny_model))
    assert sizes.num_layers == 5
    assert len(set(sizes.layers)) == 1
    assert sizes.cache_per_token == 2 * (128 // 4 * 2)
    assert (sizes.width, sizes.feed_forward, sizes.context_length) == (128, 256, 2048)
    assert 0 < sum(sizes.layers) + sizes.output < tiny_model.stat().st_size
    inside = tmp_path / "larger"
    inside.write_bytes(bytes(65536) + tiny_model.read_bytes())
    assert read_sizes(library, ModelFile(path=inside, offset_bytes=65536)) == sizes


@pytest.mark.parametrize(("compressed", "values"), [(True, 512 + 64), (False, 16 * (192 + 128))])
def test_only_files_that_say_so_keep_their_cache_compressed(
    library: Library, tmp_path: Path, compressed: bool, values: int
) -> None:
    """The header of a DeepSeek V2 Lite, as it is written now and as it was at first (llama-hparams.cpp)."""
    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "deepseek2")
    writer.add_block_count(27)
    writer.add_head_count(16)
    writer.add_head_count_kv(1 if compressed else 16)
    writer.add_kv_lora_rank(512)
    writer.add_rope_dimension_count(64)
    writer.add_key_length(576 if compressed else 192)
    writer.add_value_length(512 if compressed else 128)
    if compressed:
        writer.add_key_length_mla(192)
        writer.add_value_length_mla(128)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_sizes(library, ModelFile(path=path)).cache_per_token == values


def test_the_model_for_comparisons_is_the_same_everywhere(library: Library, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_calibration_model(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    sizes = read_sizes(library, ModelFile(path=tmp_path / "a"))
    assert sizes.num_layers == 3
    assert 25e6 < sizes.layers[0] < 26e6


def test_a_child_that_reports_and_then_crashes(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, sys\n"
        "task = json.loads(sys.argv[-1])\n"
        "print('noise')\n"
        "open(task['results'], 'w').write('{\"a\": 1}\\n[2]\\n{\"b\"')\n"
        "os.kill(os.getpid(), 11)\n"
    )
    report = ChildRunner(command=[sys.executable, str(script)], environ=os.environ).run({}, limit_s=60)
    assert report.results == [{"a": 1}]
    assert report.failure == "crashed (SIGSEGV)"


def test_a_child_that_can_not_be_started(tmp_path: Path) -> None:
    report = ChildRunner(command=[str(tmp_path / "nosuch")], environ={}).run({}, limit_s=5)
    assert report.failure == "could not be asked (No such file or directory)"


def test_the_program_starts_itself_the_way_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_command({}) == [sys.executable, "-m", "runtime"]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert own_command({"PACKER_LIBC": "host", "PACKER_CACHE_ENTRY": "/c"}) == [sys.executable]
    carried = own_command({"PACKER_LIBC": "carried", "PACKER_CACHE_ENTRY": "/c"})
    assert carried == ["/c/libc/ld-linux-x86-64.so.2", "/c/chat"]


def test_a_verdict_in_words() -> None:
    assert Verdict(speedup=2.0).in_words() == "it is 2.0x faster"
    assert Verdict(speedup=0.0).in_words() == "CPU is 10000x faster"
