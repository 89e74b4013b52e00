"""The image and Compose files of the service: rules that linters for them check, and that what they name is there and works.

No container engine is needed: the files are read, and the commands in them that can run here are run.
"""

import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from services import running

from copytrace.engine.collection import Collection, Keys
from copytrace.engine.serve.settings import LOOPBACK, PREFIX, Settings, load_settings

import in_process
from bundle_files import small_bundle
from conftest import ROOT

FOLDER = ROOT / "engine" / "serve" / "container"
TEXT = (FOLDER / "Containerfile").read_text()


def instructions(text: str) -> list[tuple[str, str]]:
    """(name, all that follows it on its line and those that continue it)."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    return [
        (name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines()) if name
    ]


ALL = instructions(TEXT)
LAST = ALL[max(i for i, (name, _) in enumerate(ALL) if name == "FROM") :]
"""The stage that becomes the image."""


def of(name: str, some: list[tuple[str, str]] = ALL) -> list[str]:
    return [rest for found, rest in some if found == name]


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    found = yaml.safe_load((FOLDER / name).read_text())
    assert isinstance(found, dict)
    return found


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(" ".join(of("ENV", LAST))))


def test_base_images_have_exact_tags() -> None:
    arguments = dict(rest.split("=", 1) for rest in of("ARG"))
    assert re.fullmatch(r"3\.\d+\.\d+-slim-[a-z]+", arguments["PYTHON"])
    assert {image.split()[0] for image in of("FROM")} == {"python:${PYTHON}"}
    for service in compose()["services"].values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
    assert compose()["services"]["copytrace"]["image"].endswith(f":{project()['version']}")


def test_nothing_runs_as_root_and_commands_are_lists() -> None:
    users = of("USER", LAST)
    assert users and all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    assert compose()["services"]["copytrace"]["user"] == users[-1]
    assert not of("ADD")
    for name in ("ENTRYPOINT", "CMD", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"):
        assert len(of(name, LAST)) == 1, name
    assert json.loads(of("ENTRYPOINT", LAST)[0]) == ["copytrace"] and json.loads(of("CMD", LAST)[0])[0] == "serve"
    written = [i for i, (name, _) in enumerate(LAST) if name in ("RUN", "COPY")]
    assert max(written) < LAST.index(("USER", users[0])), "what is installed belongs to root"


def test_what_is_installed_is_pinned_and_leaves_no_lists() -> None:
    for command in of("RUN"):
        if "apt-get install" in command:
            assert "--no-install-recommends" in command and command.rstrip().endswith("rm -rf /var/lib/apt/lists/*")
            words = shlex.split(command.partition("apt-get install")[2].partition("&&")[0])
            assert all("=" in word for word in words if not word.startswith("-"))
        for call in re.findall(r"pip (?:install|wheel|--python)[^&]*", command):
            assert "--no-cache-dir" in call
            assert any(word in call for word in ("-r build-tools.txt", "-c constraints.txt", "--no-deps")), call
        assert "sudo" not in command and "curl" not in command and "http" not in command
    assert not re.search(r"https?://", TEXT.replace("http.client", ""))


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return found["project"] | {"requires": found["build-system"]["requires"]}


def pinned(name: str) -> dict[str, str]:
    lines = [line for line in (FOLDER / name).read_text().splitlines() if line and not line.startswith("#")]
    assert lines == sorted(lines) and all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines)
    return dict(line.split("==") for line in lines)


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    told = project()
    extras = told["optional-dependencies"]
    for file, wanted in (
        ("constraints.txt", [*told["dependencies"], *extras["cpu"], *extras["serve"]]),
        ("build-tools.txt", [*told["requires"], "wheel"]),
    ):
        versions = pinned(file)
        for one in map(Requirement, wanted):
            assert one.specifier.contains(versions[canonicalize_name(one.name)]), (file, str(one))


def test_everything_that_building_needs_is_copied_and_not_ignored() -> None:
    copied = [shlex.split(rest) for rest in of("COPY") if not rest.startswith("--from")]
    sources = {source for words in copied for source in words[:-1]}
    assert all((ROOT / source).exists() for source in sources)
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "csrc", "engine", "export", "train"} <= sources
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"  # a new file at the top stays out until it is named
    assert {line[1:] for line in lines if line.startswith("!")} == {source for source in sources if "/" not in source}
    for secret in ("prometheus.key",):
        assert f"**/{secret}" in lines and subprocess.run(
            ["git", "check-ignore", "-q", FOLDER / secret], cwd=ROOT
        ).returncode in (0, 128)  # 128: no repository, as in an unpacked source distribution


def test_the_environment_is_of_settings_there_are() -> None:
    found = {name: value for name, value in environment().items() if name.startswith(PREFIX)}
    found |= (
        compose()["services"]["copytrace"]["environment"]
        | compose("compose.gpu.yaml")["services"]["copytrace"]["environment"]
    )
    ours = {name.removeprefix(PREFIX).lower(): value for name, value in found.items() if name.startswith(PREFIX)}
    assert set(ours) <= set(Settings.model_fields)
    settings = load_settings(ours)
    assert settings.host not in LOOPBACK and not settings.no_auth
    assert str(settings.port) == of("EXPOSE", LAST)[0]
    assert compose()["services"]["copytrace"]["stop_grace_period"] == f"{settings.drain_seconds + 10:.0f}s"


@pytest.mark.parametrize("name", ["copytrace", "prometheus"])
def test_services_can_do_as_little_as_they_need(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["pids_limit"] > 0
    assert service["security_opt"] == ["no-new-privileges:true"] and "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "keys would cross the network in the clear"
    volumes = {volume.split(":")[0]: volume.split(":")[1] for volume in service["volumes"]}
    assert any(volume in compose()["volumes"] for volume in volumes)
    assert all(volume in compose()["volumes"] or (FOLDER / volume).is_file() for volume in volumes)


def test_the_collection_and_caches_lie_on_the_volume() -> None:
    (volume,) = of("VOLUME", LAST)
    assert compose()["services"]["copytrace"]["volumes"] == [f"references:{volume}"]
    assert json.loads(of("CMD", LAST)[0])[1].startswith(f"{volume}/")
    kept = environment()
    assert all(kept[name].startswith(f"{volume}/") for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"))


def test_the_build_is_that_of_this_repository() -> None:
    build = compose()["services"]["copytrace"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT.resolve()
    assert (ROOT / build["dockerfile"]).samefile(FOLDER / "Containerfile")
    gpu = compose("compose.gpu.yaml")["services"]["copytrace"]["build"]["args"]
    assert set(gpu) <= {rest.split("=")[0] for rest in of("ARG")} and gpu["EXTRA"] in project()["optional-dependencies"]


def health_command() -> list[str]:
    command: list[str] = json.loads(of("HEALTHCHECK", LAST)[0].partition("CMD ")[2])
    return command


def healthy(port: int) -> int:
    command = [sys.executable, *health_command()[1:]]
    environment = {"COPYTRACE_PORT": str(port), "http_proxy": "http://127.0.0.1:9", "PATH": ""}
    return subprocess.run(command, env=environment, capture_output=True).returncode


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


def test_the_health_check_tells_a_service_that_is_ready(tmp_path: Path, bundle: Path) -> None:
    assert health_command()[0] == "python"
    with running(tmp_path / "refs.ct", bundle=bundle) as service:
        port = int(service.url.rpartition(":")[2])
        assert any(healthy(port) == 0 for _ in range(5))  # it waits four seconds only, which a busy machine may need
        service.service.state = "draining"
        assert healthy(port) != 0
    with socket.socket() as nobody:  # has the port, so that no other can, and does not listen
        nobody.bind(("127.0.0.1", 0))
        assert healthy(nobody.getsockname()[1]) != 0


def test_prometheus_is_let_in_with_a_key_made_as_the_readme_says(tmp_path: Path, bundle: Path) -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    services, secrets = compose()["services"], compose()["secrets"]
    assert job["static_configs"][0]["targets"] == ["copytrace:8000"] and "copytrace" in services
    (secret,) = services["prometheus"]["secrets"]
    assert job["authorization"] == {"type": "Bearer", "credentials_file": f"/run/secrets/{secret}"}
    assert secrets[secret]["file"] == "./prometheus.key"
    folder = tmp_path / "refs.ct"
    with running(folder, bundle=bundle, no_auth=False) as service:
        metrics = job["metrics_path"]
        assert service.client.get(metrics).status_code == 401
        readme = (FOLDER / "README.md").read_text()
        made = re.search(r"collection key add /data/references.ct (\w+) > prometheus.key", readme)
        assert made is not None
        key = in_process.run("collection", "key", "add", folder, made[1]).stdout
        headers = {"Authorization": f"{job['authorization']['type']} {key.strip()}"}
        answer = service.client.get(metrics, headers=headers)
        assert answer.status_code == 200 and "copytrace_references" in answer.text
        assert service.client.delete("/v1/references/a", headers=headers).status_code == 403
    with Keys(folder) as keys:
        assert [found.role for found in keys.list_keys()] == ["read"]
    Collection.open(folder).close()
