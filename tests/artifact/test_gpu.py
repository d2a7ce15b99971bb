"""A packed file with the Vulkan backend, on a machine whose only Vulkan device is Mesa's renderer on the CPU."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import program
from tests.support.projectors import data_url, png, write_projector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST_BACKEND_BYTES = 15_000_000
ASK = ("-p", "Hello", "--max-tokens", "3", "--temperature", "0")


@pytest.fixture
def gpu(with_vulkan: Path, runtime_cache: Path) -> program.Launcher:
    """Starts it in a bare environment."""
    return program.Launcher(with_vulkan, runtime_cache)


def entries(path: Path) -> dict[str, dict[str, int]]:
    described = json.loads(program.packer("inspect", path, "--json").stdout)
    return {entry["name"]: entry for entry in described["entries"]}


def test_the_backend_is_an_entry_of_its_own_and_small(with_vulkan: Path, packed: Path) -> None:
    added = entries(with_vulkan).keys() - entries(packed).keys()
    library = [name for name in added if name.endswith("/lib/gpu/libggml-vulkan.so")]
    assert len(library) == 1
    assert {name for name in added if name not in library} == {
        "licenses/SPIR-V-headers.txt",
        "licenses/Vulkan-headers.txt",
    }
    assert entries(with_vulkan)[library[0]]["stored_bytes"] < LARGEST_BACKEND_BYTES
    ids = [entries(path)["runtime/linux-x86_64/runtime.id"]["crc32"] for path in (with_vulkan, packed)]
    assert ids[0] != ids[1]


def test_it_is_whole_and_lists_what_is_inside(gpu: program.Launcher, tmp_path: Path) -> None:
    assert gpu.run("--verify").returncode == 0
    assert program.packer("extract", gpu.path, "sbom.spdx.json", "-d", tmp_path).returncode == 0
    packages = json.loads((tmp_path / "sbom.spdx.json").read_text())["packages"]
    assert {"Vulkan headers", "SPIR-V headers", "llama.cpp"} <= {package["name"] for package in packages}
    assert len({package["SPDXID"] for package in packages}) == len(packages)


def test_by_itself_it_takes_the_cpu_and_says_why(gpu: program.Launcher) -> None:
    with gpu.serving() as server:
        device = server.json("/api/info")["device"]
        assert server.json("/health")["device"] == device
    assert device["backend"] == "cpu"
    assert device["name"].startswith("CPU: ")
    assert re.search(r"^Vulkan: device llvmpipe .* is a software renderer, ", device["why"])
    words = gpu.run("--info").stdout
    assert device["why"] in words
    assert json.loads(gpu.run("--info", "--json").stdout)["device"] == device


def test_asked_to_it_puts_every_layer_there(gpu: program.Launcher, launch: program.Launcher) -> None:
    with gpu.serving("--gpu", "Vulkan") as server:
        device = server.json("/api/info")["device"]
        reply = server.json("/v1/completions", {"prompt": "Hello", "max_tokens": 3, "temperature": 0})
    assert (device["backend"], device["layers"], device["num_layers"]) == ("vulkan", 5, 5)
    assert device["name"].startswith("GPU: llvmpipe")
    assert reply["usage"]["completion_tokens"] == 3
    assert launch.run(*ASK).returncode == gpu.run(*ASK, "--gpu", "llvmpipe", "--gpu-layers", "3").returncode == 0


def test_pictures_are_read_where_the_model_is(tiny_model: Path, runtime_cache: Path, tmp_path: Path) -> None:
    """What the model then says is what it says on the CPU, and not what it says without the picture."""
    write_projector(tmp_path / "mmproj.gguf")
    build = ("build", tiny_model, "--mmproj", tmp_path / "mmproj.gguf", "-o", tmp_path / "chat", "--gpu", "vulkan")
    assert program.packer(*build).returncode == 0
    seeing = program.Launcher(tmp_path / "chat", runtime_cache)
    picture = {"type": "image_url", "image_url": {"url": data_url(png((255, 20, 20)))}}
    text = {"type": "text", "text": "What is it?"}
    found = {}
    for choice, backend in (("vulkan", "vulkan"), ("off", "cpu")):
        with seeing.serving("--gpu", choice) as server:
            device = server.json("/health")["device"]
            found[choice] = likeliest(server, [picture, text])
            blind = likeliest(server, [text])
        assert device["backend"] == backend
        assert "pictures" not in device["why"]
    assert found["vulkan"] == pytest.approx(found["off"], abs=0.3)
    assert blind != pytest.approx(found["off"], abs=0.3)
    assert "pictures" not in seeing.run("--info", "--gpu", "vulkan").stdout.partition("Device")[2].partition("\n")[0]


def likeliest(server: program.Server, content: list[dict[str, object]]) -> dict[str, float]:
    """The two likeliest tokens of a reply's beginning, with their scores."""
    body = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    (token,) = server.json("/v1/chat/completions", body)["choices"][0]["logprobs"]["content"]
    return {one["token"]: one["logprob"] for one in token["top_logprobs"]}


def test_without_a_usable_loader_it_starts_like_one_without_gpu_support(
    gpu: program.Launcher, launch: program.Launcher, tmp_path: Path
) -> None:
    (tmp_path / "libvulkan.so.1").write_text("no library")
    environment = gpu.environment(LD_LIBRARY_PATH=str(tmp_path))
    done = gpu.run(*ASK, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, launch.run(*ASK).stdout, "")
    assert "no driver on this machine (libvulkan.so.1 was not found)" in gpu.run("--info", env=environment).stdout


def test_a_driver_that_crashes_costs_one_line(gpu: program.Launcher, broken_driver: Callable[[str], Path]) -> None:
    manifest = str(broken_driver("abort();"))
    environment = gpu.environment(VK_DRIVER_FILES=manifest, VK_ICD_FILENAMES=manifest)
    done = gpu.run(*ASK, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    words = gpu.run("--info", env=environment).stdout
    assert "Vulkan: the driver crashed (SIGABRT) when it was asked for its devices" in words


def test_a_loader_without_a_driver_costs_one_line(gpu: program.Launcher) -> None:
    environment = gpu.environment(VK_DRIVER_FILES="/nonexistent.json", VK_ICD_FILENAMES="/nonexistent.json")
    words = gpu.run("--info", env=environment).stdout
    assert "(Vulkan: the loader is there, but no driver offers a device)" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gpu", "nosuch"), "--gpu nosuch: no device is called so; expected auto, off, vulkan or one of"),
        (("--gpu", ""), "--gpu: expected auto, off, vulkan or (part of) the name of a device, found nothing"),
        (("--gpu", "cuda"), "--gpu cuda: this file brings no CUDA support"),
        (("--gpu", "vulkan", "--gpu-layers", "99"), "--gpu-layers 99: this model has 5 layers"),
        (("--gpu-layers", "9999"), "--gpu-layers 9999: this model has 5 layers"),
        (("--gpu", "off", "--gpu-layers", "6"), "--gpu-layers 6: this model has 5 layers"),
    ],
)
def test_what_can_not_be_had_gets_one_sentence(gpu: program.Launcher, arguments: tuple[str, ...], words: str) -> None:
    done = gpu.run(*ASK, *arguments)
    assert done.returncode == 3
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_negative_number_of_layers_is_refused(gpu: program.Launcher) -> None:
    done = gpu.run(*ASK, "--gpu-layers", "-3")
    assert done.returncode == 2
    assert "Invalid value for '--gpu-layers': -3 is not in the range x>=0." in done.stderr


def test_the_start_says_which_device_computes(gpu: program.Launcher) -> None:
    with gpu.serving("--gpu", "vulkan", "--gpu-layers", "2") as server:
        device = server.json("/health")["device"]
        assert server.process.stdout is not None
        line = next(line for line in server.process.stdout if line.startswith("Device"))
    assert re.fullmatch(r"Device +GPU: llvmpipe .* \(Vulkan\)  \(2 of 5 layers; as asked for\)\n", line)
    assert (device["layers"], device["num_layers"], device["why"]) == (2, 5, "2 of 5 layers; as asked for")


def test_a_file_without_gpu_support_says_so(launch: program.Launcher) -> None:
    done = launch.run(*ASK, "--gpu", "vulkan")
    assert done.returncode == 3
    assert "pack it with packer build --gpu vulkan" in done.stderr
    assert "this file brings no GPU support" in launch.run("--info").stdout


def test_settings_choose_and_can_be_locked(tiny_model: Path, runtime_cache: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('locked = ["gpu.use"]\n[gpu]\nuse = "off"\n')
    built = program.packer("build", tiny_model, "-c", config, "-o", tmp_path / "chat", "--gpu", "vulkan")
    assert built.returncode == 0, built.stderr
    launcher = program.Launcher(tmp_path / "chat", runtime_cache)
    assert "the GPU is switched off" in launcher.run("--info").stdout
    done = launcher.run(*ASK, "--gpu", "auto")
    assert done.returncode == 2
    assert "gpu.use" in done.stderr


def test_the_packer_refuses_backends_it_does_not_know(tiny_model: Path, tmp_path: Path) -> None:
    done = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--gpu", "opencl")
    assert done.returncode == 2
    assert "'opencl' is no backend; expected auto, none, or one or more of vulkan" in done.stderr
    assert not (tmp_path / "chat").exists()


def test_a_backend_travels_as_one_file(tiny_model: Path, with_vulkan: Path, tmp_path: Path) -> None:
    """An air-gapped builder packs the same bytes from two added files."""
    store = {"PACKER_RUNTIMES_DIR": str(tmp_path / "store"), "PACKER_BUILD_CACHE_DIR": str(tmp_path / "nothing")}
    assert program.packer("runtimes", "build", "-o", tmp_path / "linux.runtime").returncode == 0
    built = program.packer("runtimes", "build", "--gpu", "vulkan", "-o", tmp_path / "vulkan.backend")
    assert built.returncode == 0, built.stderr
    for name in ("linux.runtime", "vulkan.backend"):
        added = program.packer("runtimes", "add", tmp_path / name, **store)
        assert added.returncode == 0, added.stderr
    listed = json.loads(program.packer("runtimes", "list", "--json", **store).stdout)
    assert [one.get("backend") for one in listed] == [None, "vulkan"]
    again = program.packer("build", tiny_model, "-o", tmp_path / "chat", "--title", "Tiny", "--gpu", "vulkan", **store)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "chat").read_bytes() == with_vulkan.read_bytes()
    shutil.rmtree(tmp_path / "store")
