"""deploy/compose.yaml, which no container engine has run here: its form by the schema of the
Compose specification, its commands and variables by the program, its proxy's settings by nginx."""

import json
import os
import re
import subprocess

import jsonschema
import pytest
import yaml

from servers import nginx
from servers.process import free_port
from support.server import BINARY, run

DEPLOY = nginx.ROOT / "deploy"
# Debian's docker-compose brings it; ./dev test unpacks it.
SCHEMAS = (nginx.ROOT / "build/tools/compose_spec.json",
           "/usr/lib/python3/dist-packages/compose/config/compose_spec.json")
SERVICES = {"mariadb", "redis", "api", "worker", "proxy"}
IMAGE_ENTRYPOINT = "coupon"


@pytest.fixture(scope="module")
def compose():
    with open(DEPLOY / "compose.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


def test_it_is_valid_by_the_schema(compose):
    path = next((path for path in SCHEMAS if os.path.exists(path)), None)
    if path is None:
        pytest.skip("NOT TESTED: the form of deploy/compose.yaml; ./dev test unpacks the schema")
    with open(path, encoding="utf-8") as file:
        jsonschema.Draft7Validator(json.load(file)).validate(compose)


def test_it_has_every_service_and_what_they_name(compose):
    services = compose["services"]
    assert set(services) == SERVICES
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= SERVICES - {name}
        assert "healthcheck" in service or name == "api"  # which has the image's
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).is_file(), source
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"]
    build = services["api"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert services["worker"]["build"] == build


def test_only_the_proxy_can_be_reached_from_outside(compose):
    published = {name: service["ports"] for name, service in compose["services"].items()
                 if "ports" in service}
    assert published == {"proxy": ["${COUPON_PORT:-8080}:8080"]}


def test_no_password_is_in_it(compose):
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name and name != "MARIADB_RANDOM_ROOT_PASSWORD":
                assert value.startswith("${"), name
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"://[a-z]+:([^@$]+)@", text) == []


@pytest.mark.parametrize("service", ["api", "worker"])
def test_its_commands_and_variables_are_the_programs(compose, service):
    with open(DEPLOY / "Dockerfile", encoding="utf-8") as file:
        assert f'ENTRYPOINT ["{IMAGE_ENTRYPOINT}"]' in file.read()
    subcommand, *arguments = compose["services"][service]["command"]
    done = run(subcommand, "--help")
    if done.returncode == 2:
        pytest.skip(f"NOT TESTED: {service}; {BINARY} has no {subcommand}")
    known = re.findall(r"^  --([a-z-]+)", done.stdout, re.MULTILINE)
    given = [name.removeprefix("COUPON_").lower().replace("_", "-")
             for name in compose["services"][service]["environment"]]
    given += [argument[2:].split("=")[0] for argument in arguments]
    if not {"ledger", "redis"} <= set(known):
        pytest.skip(f"NOT TESTED: {service}; {BINARY} has no --ledger and --redis yet")
    # The image sets it, so it is taken back where it is no option, too.
    assert set(given) - {"data"} <= set(known)


def test_the_proxys_files_are_nginxs(tmp_path):
    """As they are, but for the name that only containers have, and places in a container."""
    if nginx.Nginx.missing():
        pytest.skip(f"NOT TESTED: deploy/proxy; {nginx.Nginx.missing()}")
    text = (DEPLOY / "proxy" / "nginx.conf").read_text(encoding="ascii")
    for former, here in (("api:8080", "127.0.0.1:1"), ("listen 8080", f"listen {free_port()}"),
                         ("/tmp/", f"{tmp_path}/"), ("/etc/nginx/", f"{DEPLOY}/proxy/"),
                         ("/dev/stderr", "stderr")):
        assert former in text, former
        text = text.replace(former, here)
    path = tmp_path / "nginx.conf"
    path.write_text(text)
    done = subprocess.run([nginx.program(), "-t", "-e", "stderr", "-c", path], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0 and "warn" not in done.stderr, done.stderr


def test_redis_gets_its_settings(compose, tmp_path):
    """The shell's part of its command, as a shell reads it."""
    shell, option, script = compose["services"]["redis"]["command"]
    script = script.replace("$$", "$").replace("/tmp/redis.conf", str(tmp_path / "redis.conf"))
    script = script.replace("exec redis-server", "echo")
    done = subprocess.run([shell, option, script], env={**os.environ, "REDIS_PASSWORD": "a1"},
                          capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/redis.conf\n"
    assert (tmp_path / "redis.conf").read_text().splitlines() == [
        "requirepass a1", "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction",
        "dir /data"]
