"""Certificates as files: what is wrong with them in words, when they end, and how they are read anew."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import TypeAdapter, ValidationError

from qianzhi.runtime import clock, metrics, tls_open
from qianzhi.runtime.tls import Protection, trial
from qianzhi.runtime.tls_files import TlsError, look_at
from qianzhi.runtime.tls_peer import carries_one_of, reason_of_error
from qianzhi.runtime.tls_table import TlsTable

OWN = TlsTable(certificate="own.pem", key="own.key", ca="ca.pem", crl="crl.pem")


def alarms(name: str) -> float:
    return metrics.value("qianzhi_alarms_total", (name,))


@pytest.fixture
def ca(authority: Callable[..., Any]) -> Any:
    made = authority()
    made.issue("own", "own.example")
    made.revoke("crl")
    return made


def findings(folder: Path, table: TlsTable = OWN) -> dict[str, str]:
    return {key: found for key, found, _ in look_at(table, folder)[1]}


def test_good_files_are_nothing_to_speak_of(ca: Any, tmp_path: Path) -> None:
    assert findings(tmp_path) == {}


def test_everything_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    (tmp_path / "own.key").write_text("no key")
    (tmp_path / "own.key").chmod(0o600)
    found = findings(tmp_path)
    assert found["certificate"] == f"{tmp_path}/own.pem: No such file or directory"
    assert found["key"] == f"{tmp_path}/own.key, which is none"
    assert found["ca"] == f"{tmp_path}/ca.pem, which is none"
    assert found["crl"] == f"{tmp_path}/crl.pem: No such file or directory"
    with pytest.raises(TlsError, match=r"tls\.banks\.certificate: .*; tls\.banks\.key: .*"):
        Protection("banks", OWN, tmp_path)


def test_a_key_of_another_certificate_is_found(ca: Any, tmp_path: Path) -> None:
    ca.issue("other", "other.example")
    (tmp_path / "own.key").write_bytes((tmp_path / "other.key").read_bytes())
    assert findings(tmp_path) == {"key": "the key of another certificate"}


def test_a_key_that_everybody_may_read_is_found(ca: Any, tmp_path: Path) -> None:
    (tmp_path / "own.key").chmod(0o644)
    assert findings(tmp_path) == {"key": f"{tmp_path}/own.key, which everybody on this machine may read"}


@pytest.mark.parametrize("days", [-1, -400])
def test_a_certificate_that_has_expired_is_found_with_its_day(ca: Any, tmp_path: Path, days: int) -> None:
    made = ca.issue("own", "own.example", days=days)
    day = f"{made.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    assert findings(tmp_path) == {"certificate": f"one that expired on {day}"}


def test_a_list_that_is_late_or_of_somebody_else_is_found(
    ca: Any, authority: Callable[..., Any], tmp_path: Path
) -> None:
    ca.revoke("crl", days=-1)
    assert "was to be renewed by" in findings(tmp_path)["crl"]
    authority("other").revoke("crl")
    assert "a list of " in findings(tmp_path)["crl"]


def test_a_key_that_openssl_calls_weak_is_found_and_leaves_the_old_one_in_force(
    ca: Any, tmp_path: Path
) -> None:
    protection = Protection("weak", OWN, tmp_path)
    ca.sign("own", rsa.generate_private_key(65_537, 1_024))  # noqa: S505
    (found,) = trial("weak", OWN, tmp_path)
    assert found.key == "certificate"
    assert "too small" in found.found
    protection.look()
    assert "too small" in protection.status()["trouble"]
    assert trial("weak", TlsTable(ca="ca.pem"), tmp_path) == []


def test_no_word_of_a_key_is_shown(ca: Any, tmp_path: Path) -> None:
    secret = (tmp_path / "own.key").read_text()
    (tmp_path / "own.key").write_text(secret.replace("BEGIN", "BEGUN"))
    with pytest.raises(TlsError) as error:
        Protection("banks", OWN, tmp_path)
    assert not any(line in str(error.value) for line in secret.splitlines())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('{"certificate": "a.pem"}', "certificate and key together"),
        ('{"crl": "a.pem"}', "ca beside crl"),
        ('{"names": ["a.example"]}', "ca or pins beside names"),
        ('{"ca": "a.pem", "names": ["a bank"]}', "names such as"),
        ('{"pins": ["00:11"]}', "64 hex digits"),
        ('{"minimum": "1.1"}', "1.2"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused_in_words(table: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(TlsTable).validate_json(table)


def test_no_side_is_made_that_could_not_tell_or_show_who_it_is(ca: Any, tmp_path: Path) -> None:
    nobody = Protection("banks", TlsTable(certificate="own.pem", key="own.key"), tmp_path)
    with pytest.raises(TlsError, match="ca or pins"):
        nobody.client("own.example")
    with pytest.raises(TlsError, match="whom peers connect to"):
        _ = Protection("banks", TlsTable(ca="ca.pem"), tmp_path).server


@pytest.mark.parametrize(("days", "told"), [(40, 0), (20, 30), (5, 7), (0.5, 1)])
def test_the_last_days_of_a_certificate_are_told_once_each(
    ca: Any, tmp_path: Path, days: float, told: int, capfd: pytest.CaptureFixture[str]
) -> None:
    ca.issue("own", "own.example", days=days)
    before = alarms("certificate_expires")
    protection = Protection("banks", OWN, tmp_path)
    protection.look()
    assert alarms("certificate_expires") == before + bool(told)
    left = metrics.value("qianzhi_certificate_expires_seconds", ("banks", "own"))
    assert 0 <= days * 86_400 - left < 600
    if told:
        assert f"'days': {told}" in capfd.readouterr().err.replace('"', "'")


def test_each_threshold_is_told_when_it_comes(
    ca: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ca.issue("own", "own.example", days=100)
    ca.revoke("crl", days=400)
    protection = Protection("banks", OWN, tmp_path)
    real = clock.now()
    before, told = alarms("certificate_expires"), []
    for days in (50, 29, 28, 7, 3, 1, 0.5, -0.1, -2):
        at = made.not_valid_after_utc - datetime.timedelta(days=days)
        now = real._replace(wall_us=int(at.timestamp() * 1_000_000))
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        protection.look()
        told.append(int(alarms("certificate_expires") - before))
    assert told == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert metrics.value("qianzhi_certificate_expires_seconds", ("banks", "own")) == -2 * 86_400


@pytest.mark.parametrize(("days", "told"), [(5, 0), (0.5, 1)])
def test_the_last_day_of_a_revocation_list_is_told(ca: Any, tmp_path: Path, days: float, told: int) -> None:
    ca.revoke("crl", days=days)
    before = alarms("certificate_expires")
    Protection("banks", OWN, tmp_path).look()
    assert alarms("certificate_expires") == before + told


def test_a_renewed_certificate_has_its_own_last_days(ca: Any, tmp_path: Path) -> None:
    ca.issue("own", "own.example", days=20)
    before = alarms("certificate_expires")
    protection = Protection("banks", OWN, tmp_path)
    ca.revoke("crl")
    protection.look()
    assert alarms("certificate_expires") == before + 1, "another list makes the certificate no news"
    ca.issue("own", "own.example", days=25)
    protection.look()
    assert alarms("certificate_expires") == before + 2


def test_new_files_are_noticed_and_bad_ones_leave_the_old_in_force(ca: Any, tmp_path: Path) -> None:
    protection = Protection("renewed", OWN, tmp_path)
    before, reloads = protection.status()["ends"]["own"], ("qianzhi_tls_reloads_total", ("renewed", "done"))
    done = metrics.value(*reloads)
    tls_open.look_all()
    assert metrics.value(*reloads) == done, "files that have not changed are not read"
    ca.issue("own", "own.example", days=50)
    tls_open.look_all()
    assert metrics.value(*reloads) == done + 1
    renewed = protection.status()["ends"]["own"]
    assert renewed != before
    (tmp_path / "own.key").unlink()
    unusable = alarms("certificate_unusable")
    tls_open.look_all()
    tls_open.look_all()
    assert alarms("certificate_unusable") == unusable + 1
    assert protection.status()["ends"]["own"] == renewed
    assert "own.key: No such file" in protection.status()["trouble"]
    assert "own.key: No such file" in tls_open.reload_all()["renewed"]
    ca.issue("own", "own.example", days=60)
    assert tls_open.reload_all()["renewed"] == "done"
    assert "trouble" not in tls_open.status_all()["renewed"]


@pytest.mark.parametrize(
    ("names", "common_name", "wanted", "found"),
    [
        (("bank.example",), None, "bank.example", True),
        (("bank.example",), None, "BANK.example", True),
        (("*.bank.example",), None, "mq1.bank.example", True),
        (("*.bank.example",), None, "bank.example", False),
        (("10.1.2.3",), None, "10.1.2.3", True),
        (("10.1.2.3",), None, "10.1.2.4", False),
        (("bank.example",), "other.example", "other.example", False),
        ((), "bank.example", "bank.example", True),
        ((), "bank.example", "other.example", False),
    ],
)
def test_whose_certificate_it_is(
    ca: Any, names: tuple[str, ...], common_name: str | None, wanted: str, found: bool
) -> None:
    certificate: x509.Certificate = ca.issue("peer", *names, common_name=common_name)
    assert carries_one_of(certificate, ("never.example", wanted)) is found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("peer did not return a certificate", "no_certificate"),
        ("tlsv1 alert protocol version", "old_version"),
        ("sslv3 alert certificate expired", "refused_by_peer"),
        ("unsupported protocol", "old_version"),
        ("no shared cipher", "no_shared_cipher"),
        ("something that nobody has thought of", "handshake_failed"),
    ],
)
def test_openssl_s_words_have_names(text: str, reason: str) -> None:
    assert reason_of_error(["SSL routines", "", text]) == reason
