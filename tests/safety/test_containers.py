"""What deploy/ makes of coupon in a container: not root, without rights, nothing writable but data.

Not for: their form (tests/cluster/test_compose.py)."""

import re

import pytest
import yaml

from conftest import ROOT

DEPLOY = ROOT / "deploy"


def test_the_image_does_not_run_as_root():
    stages = re.split(r"(?m)^FROM ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert re.findall(r"(?m)^USER (\S+)", stages[-1]) == ["941:941"]


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_service_of_compose_has_no_rights(name):
    with open(DEPLOY / "compose.yaml", encoding="utf-8") as file:
        service = yaml.safe_load(file)["services"][name]
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True and not service.get("privileged")
    assert "user" not in service  # the image's


def test_settings_with_passwords_are_for_root_alone():
    script = (DEPLOY / "package.sh").read_text(encoding="utf-8")
    assert re.search(r"install -D -m 0600 deploy/debian/default ", script)
