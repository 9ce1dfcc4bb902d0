import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports import examples

from backend_doctor.errors import UserError
from backend_doctor.exporter.textfile import previous_success, write_textfile
from backend_doctor.reports import RenderOptions, render

OLD = "backend_doctor_last_success_timestamp_seconds 1.5e+09\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A metrics file of an earlier run."""
    path = tmp_path / "doctor.prom"
    path.write_text(OLD)
    return path


def test_the_file_is_replaced_readable_by_all_and_alone(path: Path) -> None:
    umask = os.umask(0o077)
    try:
        write_textfile(path, "backend_doctor_up 1\n")
    finally:
        os.umask(umask)
    assert path.read_text() == "backend_doctor_up 1\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_of_the_old_file_keeps_it_whole(path: Path) -> None:
    with path.open() as reader:
        write_textfile(path, "backend_doctor_up 1\n" * 10_000)
        assert reader.read() == OLD


@pytest.mark.parametrize("name", ["doctor.txt", "doctor", ".prom", "doctor.prom.gz"])
def test_a_name_that_the_collector_would_not_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"end in \.prom; use"):
        write_textfile(tmp_path / name, "")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the folder .*/gone does not exist; create it"):
        write_textfile(tmp_path / "gone" / "doctor.prom", "")


def test_a_folder_in_the_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "doctor.prom").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_textfile(tmp_path / "doctor.prom", "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["doctor.prom"]


def test_a_full_disk_leaves_the_old_file_and_no_other(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UserError, match="make room") as caught:
            write_textfile(path, "backend_doctor_up 1\n" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) in str(caught.value)
    assert path.read_text() == OLD
    assert list(path.parent.iterdir()) == [path]


_WRITE_UNPRIVILEGED = """
import os, sys
from pathlib import Path
from backend_doctor.errors import UserError
from backend_doctor.exporter.textfile import write_textfile
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    write_textfile(Path("doctor.prom"), "new\\n")
except UserError as error:
    print(error)
"""


def test_a_folder_without_write_access_is_said(path: Path) -> None:
    path.parent.chmod(0o555)
    try:
        run = subprocess.run(
            [sys.executable, "-c", _WRITE_UNPRIVILEGED, str(path.parent)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    finally:
        path.parent.chmod(0o755)
    assert "Permission denied; give the user of this run write access" in run.stdout
    assert path.read_text() == OLD


def test_the_former_success_is_read_back(path: Path) -> None:
    assert previous_success(path) == 1.5e9
    write_textfile(path, render("prometheus", examples.FIFTEEN, RenderOptions()))
    assert previous_success(path) == pytest.approx(1795370411.2)


def test_no_former_file_is_no_success(tmp_path: Path) -> None:
    assert previous_success(tmp_path / "doctor.prom") == 0
    assert previous_success(tmp_path) == 0


@given(content=st.binary() | st.text().map(lambda text: OLD[:46].encode() + text.encode()))
def test_a_former_file_of_rubbish_is_survived(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "rubbish.prom"
    path.write_bytes(content)
    assert 0 <= previous_success(path) < float("inf")
