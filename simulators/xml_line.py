"""A bank's end of a queue line with XML documents, by xml.etree and Python's codecs; pure.

Why here again: the platform reads XML with its own limits in `wire`; the bank at the other end uses another
library and its own MAC.  There is no session: a static key signs everything, and the line is ready as soon
as it stands.

    <?xml …?><Message><Head>…</Head><Body>…</Body><Mac>16 hexadecimal letters</Mac></Message>
"""

from typing import Any
from xml.etree import ElementTree as Tree

from frontends.mapping import Mapping
from qianzhi.domain.requests import PRIORITY_KINDS
from qianzhi.runtime.now import Now
from simulators.des import mac_of, same_mac
from simulators.line import CONTROL, MAIN, Incoming, Outgoing
from simulators.pending import Pending
from simulators.record import Ask, Heard

Message = dict[str, Any]

MAC_PATHS = (
    "Head.TrxCode",
    "Head.Type",
    "Head.BankNo",
    "Head.TrxDate",
    "Head.TrxTime",
    "Head.Serial",
    "Head.RetCode",
    "Body.Phone",
    "Body.Amount",
    "Body.CardNo",
    "Body.Bill",
    "Body.OrigDate",
    "Body.OrigSerial",
    "Body.Order",
)
LISTS = frozenset({"Bills"})  # elements whose children are entries of a list
SERIAL_DIGITS = 12  # behind the eight of the date


class XmlLine:
    """One bank's line; `charset` is what its documents are written in."""

    def __init__(self, mapping: Mapping, key: bytes, charset: str = "gbk") -> None:
        self._mapping = mapping
        self._key = key
        self._charset = charset
        self._pending = Pending()
        self.ready = False
        self.bad = 0
        self.unmatched = 0

    @property
    def deadline(self) -> int | None:
        """Nothing is ever due here."""
        return None

    @property
    def serials_max(self) -> int:
        """Return how many serials there are for one business date, 0 for more than anybody needs."""
        return 0

    def serial_text(self, number: int, date: int) -> str:
        """Write a serial of twenty digits that begins with the date."""
        return f"{date:08d}{number % 10**SERIAL_DIGITS:0{SERIAL_DIGITS}d}"

    def on_connected(self, _: Now) -> list[Outgoing]:
        """There is no session to begin."""
        self.ready = True
        return []

    def on_closed(self) -> None:
        """The queue is gone."""
        self.ready = False
        self._pending.lose()

    def on_time(self, _: Now) -> list[Outgoing]:
        """Nothing is ever due here."""
        return []

    def forget(self, tickets: list[int]) -> None:
        """Want no answer for these any more."""
        self._pending.forget(tickets)

    def carry(self, asks: list[Ask], now: Now) -> list[Outgoing]:
        """Turn requests into signed documents; queries and reversals take the second queue."""
        return [
            Outgoing(
                CONTROL if ask.request.kind in PRIORITY_KINDS else MAIN, self._frame(ask, now), ask.ticket
            )
            for ask in asks
        ]

    def message_of(self, ask: Ask, now: Now) -> Message:
        """Return the signed message of one request and remember its match."""
        stamp = Now(now.mono_us, ask.stamp_us)
        message = self._mapping.request_message(
            ask.request, stamp, {"Body.CardNo": ask.card} if ask.card else None
        )
        message.setdefault("Head", {})["Type"] = "REQ"
        message["Mac"] = mac_of(self._key, mac_text(message, self._charset)).hex().upper()
        self._pending.add(self._mapping.match_key(message), ask.ticket)
        return message

    def _frame(self, ask: Ask, now: Now) -> bytes:
        return write_xml(self.message_of(ask, now), self._charset)

    def on_frames(self, items: list[Incoming], _: Now) -> tuple[list[Heard], list[Outgoing]]:
        """Read answers; what cannot be read or proved is no answer.

        A document that is sent again is answered again.  Its second answer has the fields of an answer to any
        later request under its serial, so the queue's word on whose it is comes first.
        """
        heard: list[Heard] = []
        for item in items:
            message = self._read(item.frame)
            if message is None:
                self.bad += 1
                continue
            reply = self._mapping.reply_of(message)
            taken = self._pending.take(reply.match, item.ticket)
            if taken is None:
                self.unmatched += 1
                continue
            heard.append(
                Heard(
                    taken.ticket, reply.code, reply.result, reply.reply.bills, reply.reply.order, taken.sure
                )
            )
        return heard, []

    def _read(self, frame: bytes) -> Message | None:
        try:
            message = read_xml(frame)
        except ValueError:
            return None
        found = str(message.get("Mac", "")).encode("ascii", "replace")
        wanted = mac_of(self._key, mac_text(message, self._charset)).hex().upper().encode("ascii")
        return message if same_mac(found, wanted) else None


def mac_text(message: Message, charset: str) -> bytes:
    """Return the bytes under the MAC: the listed values joined by bars, an absent one as an empty place."""
    return "|".join(_at(message, path) for path in MAC_PATHS).encode(charset)


def _at(message: Message, path: str) -> str:
    value: Any = message
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def write_xml(message: Message, charset: str) -> bytes:
    """Return the document in its character set, with its declaration; lists become repeated elements."""
    root = Tree.Element("Message")
    _fill(root, {name: message[name] for name in ("Head", "Body", "Mac") if name in message})
    text = Tree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="{charset.upper()}"?>{text}'.encode(charset)


def _fill(parent: Tree.Element, values: Message) -> None:
    for name, value in values.items():
        for entry in value if isinstance(value, list) else [value]:
            child = Tree.SubElement(parent, name)
            if isinstance(entry, dict):
                _fill(child, entry)
            else:
                child.text = str(entry)


def read_xml(data: bytes) -> Message:
    """Read a document by its declared character set; raises ValueError.

    Python's codecs decode it, since the parser beneath knows no GBK; entities are refused, as a bank has
    none.
    """
    head = data[:100].decode("ascii", "replace")
    charset = "utf-8"
    if 'encoding="' in head:
        charset = head.split('encoding="', 1)[1].split('"', 1)[0]
    try:
        text = data.decode(charset)
    except LookupError as error:
        raise ValueError("a character set that nobody knows") from error
    if "<!" in text:
        raise ValueError("a document type has no place in a message")
    body = text.split("?>", 1)[1] if text.startswith("<?xml") else text
    try:
        root = Tree.fromstring(body)  # noqa: S314 - no document type is let in, so no entity can be
    except Tree.ParseError as error:
        raise ValueError("not well-formed") from error
    value = _value(root)
    if root.tag != "Message" or not isinstance(value, dict):
        raise ValueError("another root than Message")
    return value


def _value(element: Tree.Element) -> Any:
    if not len(element):
        return element.text or ""
    values: Message = {}
    for child in element:
        inner = _value(child)
        if element.tag in LISTS:
            values.setdefault(child.tag, []).append(inner)
        else:
            values[child.tag] = inner
    return values
