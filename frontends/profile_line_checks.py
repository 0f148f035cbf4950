"""What can be wrong with a bank's line: transport, framing, connections, sign-on and echoes.  Pure."""

from collections.abc import Iterator

from frontends.hours import MINUTES_A_DAY, minute_of
from frontends.profile_tables import BankTable
from frontends.session_dates import FIRST_MINUTE, LAST_MINUTE, NOTICE
from qianzhi.runtime.problems import Problem
from qianzhi.wire.codec import Codec
from qianzhi.wire.errors import RemoteProtocolError

Finding = tuple[str, str, str]  # dotted key, found, expected

CUTOVERS = ("cutover", "cutover_begin")
MANAGEMENT = ("sign_on", "sign_off", "echo", "key_request", "key_delivery", *CUTOVERS)
WITH_LENGTH = ("ascii", "binary", "bcd")


def line_problems(bank: BankTable, codec: Codec | None, file: str) -> list[Problem]:
    """Return everything that is wrong with a bank's line."""
    findings = [
        *_transport_findings(bank),
        *_frame_findings(bank, codec),
        *BY_KIND[bank.transport.kind](bank),
        *_session_findings(bank),
        *_management_findings(bank),
        *_cutover_findings(bank),
    ]
    return [Problem(file, *finding) for finding in findings]


def _transport_findings(bank: BankTable) -> Iterator[Finding]:
    if bank.transport.role == "client":
        yield "transport.role", "'client'", "'server'; that we dial a bank is not built yet"
    if bank.transport.kind == "socket" and bank.socket is None:
        yield "socket", "missing", "the limits of this bank's connections"
    if bank.transport.kind != "queue" and bank.transport.one_queue:
        yield "transport.one_queue", "true", f"false, since {NAMES[bank.transport.kind]} no queue"
    if bank.transport.kind != "files" and bank.files is not None:
        yield "files", "a table", "nothing, unless transport.kind is 'files'"


def _frame_findings(bank: BankTable, codec: Codec | None) -> Iterator[Finding]:
    frame = bank.frame
    if frame.heartbeat and frame.kind not in WITH_LENGTH:
        yield (
            "frame.heartbeat",
            repr(frame.heartbeat),
            f"'', since frames of kind {frame.kind!r} have no length",
        )
    if frame.inclusive and frame.kind not in WITH_LENGTH:
        yield "frame.inclusive", "true", f"false, since frames of kind {frame.kind!r} have no length"
    if frame.kind == "message" and codec is not None:
        try:
            codec.measure(b"")
        except RemoteProtocolError:
            expected = "a length header, since messages of this spec do not show their own end"
            yield "frame.kind", "'message'", expected


def _queue_findings(bank: BankTable) -> Iterator[Finding]:
    """A queue keeps boundaries itself, and has no line on which we could begin anything."""
    session = bank.session
    if bank.frame.kind != "none":
        yield "frame.kind", repr(bank.frame.kind), "'none', since a queue keeps the boundaries itself"
    yield from _lineless_findings(bank, "a queue has")
    if session.keys == "ours" and session.delivery == "message":
        yield "session.delivery", "'message'", "'answer', since on a queue we begin no message"


def _lineless_findings(bank: BankTable, who: str) -> Iterator[Finding]:
    """What has no line cannot have what only lines have; `who` begins the reason ("a queue has")."""
    if bank.socket is not None:
        yield "socket", "a table", f"nothing, since {who} no connections"
    if bank.transport.connection == "short":
        yield "transport.connection", "'short'", f"'long', since {who} no connections"
    if bank.session.sign_on:
        yield "session.sign_on", "true", f"false, since {who} no line to sign on to"
    if bank.session.echo_seconds:
        seconds = str(bank.session.echo_seconds)
        yield "session.echo_seconds", seconds, f"0, since {who} no line to test"


def _files_findings(bank: BankTable) -> Iterator[Finding]:
    """A file keeps boundaries by its lines or records, and nobody could begin anything in it."""
    session, files = bank.session, bank.files
    if bank.frame.kind != "none":
        yield "frame.kind", repr(bank.frame.kind), "'none', since lines or records keep the boundaries"
    yield from _lineless_findings(bank, "files have")
    if session.keys in ("ours", "theirs"):
        yield "session.keys", repr(session.keys), "'static' or 'none', since no keys travel in files"
    if bank.mac is not None and bank.mac.form.startswith("raw"):
        yield "mac.form", repr(bank.mac.form), "digits, since bytes of any value cannot stand in a line"
    if files is not None and files.record_bytes > bank.frame.frame_bytes_max:
        expected = f"at most frame.frame_bytes_max, {bank.frame.frame_bytes_max}"
        yield "files.record_bytes", str(files.record_bytes), expected


def _socket_findings(bank: BankTable) -> Iterator[Finding]:
    session = bank.session
    if bank.frame.kind == "none":
        yield "frame.kind", "'none'", "a length header, since a socket keeps no boundaries"
    if bank.transport.connection == "long":
        return
    if bank.frame.heartbeat:
        expected = "'', since a short connection carries one message"
        yield "frame.heartbeat", repr(bank.frame.heartbeat), expected
    if session.echo_seconds:
        expected = "0, since on a short connection we begin no message"
        yield "session.echo_seconds", str(session.echo_seconds), expected
    if session.keys == "ours" and session.delivery == "message":
        expected = "'answer', since on a short connection we begin no message"
        yield "session.delivery", "'message'", expected


def _session_findings(bank: BankTable) -> Iterator[Finding]:
    session = bank.session
    by_message = session.keys == "ours" and session.delivery == "message"
    if session.delivery == "answer" and session.keys != "ours":
        yield "session.delivery", "'answer'", f"nothing, since session.keys is {session.keys!r}"
    if session.key_hours and not by_message:
        yield "session.key_hours", str(session.key_hours), "0, unless we deliver keys by message"
    if session.mac_failures_max and session.on_mac_failures == "new_keys" and not by_message:
        yield "session.on_mac_failures", "'new_keys'", "another rule, unless we deliver keys by message"
    if session.mac_failures_max and session.on_mac_failures == "sign_off" and not session.sign_on:
        yield "session.on_mac_failures", "'sign_off'", "another rule, since nobody signs on"


def _management_findings(bank: BankTable) -> Iterator[Finding]:
    """Messages about the line that are needed and not described, or described and not known."""
    session = bank.session
    for name in bank.management:
        if name not in MANAGEMENT:
            yield f"management.{name}", "no message that a session knows", f"one of {', '.join(MANAGEMENT)}"
    wanted = {
        "sign_on": ("sign_on = true", session.sign_on),
        "echo": ("echo_seconds", session.echo_seconds > 0),
        "key_delivery": (
            f"keys = {session.keys!r}",
            session.keys == "theirs" or (session.keys == "ours" and session.delivery == "message"),
        ),
    }
    for name, (reason, needed) in wanted.items():
        if needed and name not in bank.management:
            yield f"management.{name}", "missing", f"the message for session.{reason}"
    asking = {"sign_on", "key_request"} & set(bank.management)
    if session.keys == "ours" and session.delivery == "answer" and not asking:
        yield "management", "neither sign_on nor key_request", "a message in whose answer keys are told"
    if session.keys not in ("ours", "theirs"):
        for name in sorted({"key_request", "key_delivery"} & set(bank.management)):
            expected = f"nothing, since session.keys is {session.keys!r}"
            yield f"management.{name}", "a message about keys", expected


def _cutover_findings(bank: BankTable) -> Iterator[Finding]:
    """A change of date that comes too early or too late, that nothing needs, or whose notice is lacking."""
    rule, names = bank.session.cutover, [name for name in CUTOVERS if name in bank.management]
    minute = minute_of(rule)
    early_enough = 0 <= minute <= LAST_MINUTE or FIRST_MINUTE <= minute < MINUTES_A_DAY
    if rule != NOTICE and not early_enough:
        yield "session.cutover", repr(rule[:20]), 'a time from "18:00" to "00:20", or "notice"'
    told = rule == NOTICE and bank.outward is not None  # a network's settlement date is worth knowing
    if rule != "00:00" and bank.dated and not told:
        yield "session.cutover", repr(rule[:20]), "nothing, since every message carries its date"
    if rule == NOTICE and bank.transport.kind == "files":
        yield "session.cutover", repr(rule), "a time, since in files nothing is told about the line"
    if rule == NOTICE and "cutover" not in bank.management:
        yield "management.cutover", "missing", "the message for session.cutover = 'notice'"
    for name in names:
        if rule != NOTICE:
            yield f"management.{name}", "a notice of cutover", "nothing, unless session.cutover is 'notice'"
    for name, rows in bank.management.items():
        if rows.date and name not in CUTOVERS:
            yield f"management.{name}.date", repr(rows.date), "nothing, since it is no notice of cutover"
        if name == "cutover" and not rows.date:
            yield "management.cutover.date", "missing", "the row of the business date that begins"


NAMES = {"socket": "a socket has", "files": "files have"}
BY_KIND = {"queue": _queue_findings, "files": _files_findings, "socket": _socket_findings}
