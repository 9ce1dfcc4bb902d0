"""What the application's settings say of CORS and what its server answers is one fault."""

from pathlib import Path

from tests.backends.test_cors import CLIENT, PAGE, POLICY, STAR, orders
from tests.servers.web import alarms, causes, examine, examinee, serving

from backend_doctor.endpoint import Endpoint
from backend_doctor.engine import Examinee
from backend_doctor.facts import Instance
from backend_doctor.model import Report

WILDCARD = "cors.wildcard_with_credentials"


def examined(folder: Path, stated: str, served: dict[str, object]) -> Report:
    file = folder / "settings.yaml"
    file.write_text(f"cors:\n  allow_origins: [{stated}]\n  allow_credentials: true\n")
    endpoint = Endpoint(
        kind="settings", hosts=(), socket="settings.yaml", options=(("file", str(file)),)
    )
    instance = Instance(
        service="shop",
        backend="settings",
        name="settings",
        address="settings.yaml",
        host="",
        port=0,
    )
    with serving(orders(**served)) as server:
        examinees = [Examinee(instance, endpoint), examinee("cors", server.url, **CLIENT)]
        return examine(examinees)


def test_a_wildcard_in_both_is_one_root_with_the_setting_named(tmp_path: Path) -> None:
    report = examined(tmp_path, '"*"', {**POLICY, **STAR})
    assert causes(alarms(report)).count(WILDCARD) >= 2
    assert causes(report.roots) == [WILDCARD]
    beneath = report.beneath(report.roots[0])
    shared = {
        str(subject) for one in beneath if one.explained_by for subject in one.explained_by.shared
    }
    assert "setting allow_origins" in shared


def test_exact_origins_in_both_are_healthy(tmp_path: Path) -> None:
    assert not alarms(examined(tmp_path, f'"{PAGE}"', POLICY))
