"""Where keys may come from, and that no message shows one."""

from pathlib import Path

import pytest

from qianzhi.runtime.secrets import KeyReferenceError, resolve_key

HEX = "00112233445566778899AABBCCDDEEFF"


def test_the_three_kinds_of_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "link.key"
    file.write_text(HEX.lower() + "\n")
    file.chmod(0o600)
    monkeypatch.setenv("LINK_KEY", HEX)
    for reference in (f"test:{HEX}", "file:link.key", f"file:{file}", "env:LINK_KEY"):
        assert resolve_key(reference, production=False, base=tmp_path) == bytes.fromhex(HEX)
    assert resolve_key("file:link.key", production=True, base=tmp_path) == bytes.fromhex(HEX)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "link.key"
    file.write_text(HEX)
    file.chmod(mode)
    with pytest.raises(KeyReferenceError, match="only its owner"):
        resolve_key("file:link.key", production=False, base=tmp_path)


@pytest.mark.parametrize(
    ("reference", "production"),
    [
        (f"test:{HEX}", True),
        (f"test:{HEX}0", False),
        ("test:", False),
        (f"test:{HEX * 5}", False),
        (f"test: {HEX[:-2]}_1", False),
        ("test:" + HEX.replace("0", "٠"), False),
        (HEX, False),
        (f"hex:{HEX}", False),
        ("file:missing", False),
        ("file:.", False),
        ("env:QIANZHI_NO_SUCH_VARIABLE", False),
    ],
)
def test_a_bad_reference_is_refused_without_showing_it(
    reference: str, production: bool, tmp_path: Path
) -> None:
    with pytest.raises(KeyReferenceError) as caught:
        resolve_key(reference, production=production, base=tmp_path)
    assert HEX[:8] not in str(caught.value)
    assert caught.value.expected


def test_a_key_file_full_of_something_else_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "link.key"
    file.write_text("00" * 10_000)
    file.chmod(0o600)
    with pytest.raises(KeyReferenceError, match="one key"):
        resolve_key("file:link.key", production=False, base=tmp_path)
