"""What a bank's side needs of a profile besides its mapping: serials, cards, quoted originals, amounts, MACs.

All of it comes from the profile's tables; no bank is known by name.  Pure.
"""

from typing import TYPE_CHECKING, Any

from msgspec import structs

from frontends.mapping_rows import Row, getter, row_of, split_row
from frontends.transforms import SECOND_US, moment_of_second, transform_of
from qianzhi.domain.requests import MONEY_KINDS, PRIORITY_KINDS, Kind
from qianzhi.domain.results import Result
from qianzhi.runtime.now import Now
from simulators.codecs import BankCodec
from simulators.macs import is_signed, sign
from simulators.record import Ask

if TYPE_CHECKING:
    from frontends.profile import Profile  # it reads files; its shape alone is used here

Message = dict[str, Any]

DATE_DIGITS = 8
SERIAL_DIGITS = 20  # no serial is written longer than this
SERIALS_PART = (7, 10)  # of few serials so many are the simulator's; the others are left to clients by hand
FEW_DIGITS = 8  # serials of at most so many digits are few
NO_MAC_RESULTS = frozenset({Result.NOT_SIGNED_ON, Result.BAD_MAC})


class Dialect:
    """One profile, seen from the bank."""

    def __init__(self, profile: "Profile", codec: BankCodec) -> None:
        self.profile = profile
        self.codec = codec
        self.mapping = profile.mapping
        self._own_width = row_of("", profile.table.request.serial).transform.width
        self._serial_width = _serial_width(profile)
        self._quotes = _quotes_of(profile)
        self._amounts = _amounts_of(profile)
        self._code = getter(profile.table.reply.result)

    # -- serials

    @property
    def serials_max(self) -> int:
        """Return how many serials there are for one business date, 0 for more than anybody needs."""
        part, whole = SERIALS_PART
        few = self._serial_width <= FEW_DIGITS
        return 10**self._serial_width * part // whole - 1 if few else 0

    def serial_text(self, number: int, date: int) -> str:
        """Write a serial; a long one begins with the date."""
        width = self._serial_width
        if self.serials_max:
            return f"{number % self.serials_max + 1:0{width}d}"
        if width <= DATE_DIGITS + 4:
            return f"{number % 10**width:0{width}d}"
        rest = min(width, SERIAL_DIGITS) - DATE_DIGITS
        return f"{date:0{DATE_DIGITS}d}{number % 10**rest:0{rest}d}"

    def own_serial(self, serial: str) -> str:
        """Return as much of a serial as a message's own one holds."""
        return serial[-self._own_width :] if self._own_width else serial

    # -- messages

    def request_message(self, ask: Ask, now: Now) -> Message:
        """Return the unsigned message of one request, with the time that it is to carry."""
        request = ask.request
        card = self.codec.card_path
        extra = {card: ask.card} if card and ask.card and request.kind is not Kind.TOTALS else None
        stamped = Now(now.mono_us, ask.stamp_us)
        if request.own_serial:
            request = structs.replace(request, own_serial=self.own_serial(request.own_serial))
        message = self.mapping.request_message(request, stamped, extra)
        if request.kind in PRIORITY_KINDS:
            moment = moment_of_second(ask.original_us // SECOND_US, self.mapping.zone)
            for row in self._quotes.get(request.kind, []):
                row.write(message, "now", moment)
        return message

    def amount_of(self, message: Message, kind: Kind) -> str:
        """Return the amount of a request as its answer will repeat it, empty where it will not."""
        if kind not in MONEY_KINDS:
            return ""
        return next((_plain(get(message)) for asked, get, _ in self._amounts if asked is kind), "")

    def amount_answered(self, message: Message) -> str:
        """Return the amount that an answer repeats, empty where there is none."""
        found = (_plain(get(message)) for _, _, get in self._amounts)
        return next((text for text in found if text), "")

    # -- MACs

    def sign(self, message: Message, key: bytes | None) -> None:
        """Put a MAC into a message where the dialect has them."""
        if self.profile.mac is not None and key is not None:
            sign(self.profile.mac, message, self.codec, key)

    def proved(self, message: Message, frame: bytes, keys: list[bytes]) -> bool:
        """Tell whether an answer counts: it has a right MAC, or needs none.

        The two refusals at the door do without: they may come because we share no key, and settle nothing.
        """
        if self.profile.mac is None or not self.profile.mac_required(message):
            return True
        if self.mapping.results.result_of(str(self._code(message) or "")) in NO_MAC_RESULTS:
            return True
        return any(is_signed(self.profile.mac, message, self.codec, key, frame) for key in keys)


def _serial_width(profile: "Profile") -> int:
    """Return how many characters the serial of a money request takes, all its parts together."""
    texts = [
        take["serial"]
        for take in ({**profile.table.request.take, **rows.take} for rows in _money_rows(profile))
        if "serial" in take
    ]
    text = texts[0] if texts else profile.table.request.serial
    parts = [text] if isinstance(text, str) else text
    widths = [row_of("", part).transform.width for part in parts]
    return sum(widths) if all(widths) else SERIAL_DIGITS


def _money_rows(profile: "Profile") -> list[Any]:
    return [rows for rows in profile.table.transactions.values() if Kind[rows.kind.upper()] in MONEY_KINDS]


def _quotes_of(profile: "Profile") -> dict[Kind, list[Row]]:
    """Return the rows that write an original's time where its date is asked for.

    Where the date of a money request is the head of its time stamp, a query or reversal quotes all of it.
    """
    table = profile.table
    dates = [split_row(str(rows.take["date"]))[0] for rows in _money_rows(profile) if "date" in rows.take]
    stamp = next((table.request.stamp[path] for path in dates if path in table.request.stamp), "")
    rows: dict[Kind, list[Row]] = {}
    for transaction in table.transactions.values():
        kind = Kind[transaction.kind.upper()]
        if not stamp or kind not in PRIORITY_KINDS or "date" not in transaction.take:
            continue
        path, transform = split_row(str(transaction.take["date"]))
        clock = split_row(stamp)[1]
        if transform_of(transform).width == transform_of(clock).width:
            rows.setdefault(kind, []).append(row_of("now", f"{path}|{clock}"))
    return rows


def _amounts_of(profile: "Profile") -> list[tuple[Kind, Any, Any]]:
    """Return where each money request has its amount, and where the answer repeats it."""
    table = profile.table
    found = []
    for rows in _money_rows(profile):
        text = {**table.request.take, **rows.take}.get("amount_fen")
        if text is None:
            continue
        path = split_row(str(text))[0]
        given = [
            place
            for place, source in {**table.reply.give, **rows.give}.items()
            if split_row(source)[0] == "request.amount_fen"
        ]
        answered = [path] if path in table.reply.echo else given
        if answered:
            found.append((Kind[rows.kind.upper()], getter(path), getter(answered[0])))
    return found


def _plain(value: Any) -> str:
    return value.lstrip("0 ") if isinstance(value, str) else ""
