"""What the platform makes of one message: the judgement that a vector states and a check compares.

The order is the front-end's: framing, codec, sort, MAC, content.  What only the core can judge (whether an
amount of zero or an old date is refused) is read as the request that it is.
"""

from typing import TYPE_CHECKING, Any

from frontends.mapping import Refusal, Sort
from qianzhi.cli.sample_requests import NOW
from qianzhi.domain.requests import Request
from qianzhi.wire.errors import MacError, RemoteProtocolError
from qianzhi.wire.framing import FrameReader
from qianzhi.wire.mac import verify_mac
from qianzhi.wire.mackey import MacKey

if TYPE_CHECKING:
    from frontends.profile import Profile

Message = dict[str, Any]

HIDDEN = ("kind", "space", "bank", "received_us", "date_ours")  # of a request: what every vector would repeat


def judge(profile: "Profile", body: bytes, mac_key: bytes) -> Message:
    """Return what a body is: `error`, `result` (a refusal), `request`, `asked` (by us),
    `management`, `answer`, `rejected`.
    """
    try:
        message = profile.codec.decode(body)
    except RemoteProtocolError as error:
        return {"error": fault(error)}
    sort = profile.mapping.sort_of(message)
    if sort is Sort.REJECTED:
        return {"rejected": True}
    if not is_sealed(profile, message, body, mac_key):
        return {"result": "bad_mac"}
    if sort is Sort.ANSWER:
        told = profile.mapping.reply_of(message)
        return {"answer": {"code": told.code, "result": told.result.name.lower() if told.result else None}}
    if sort is Sort.MANAGEMENT:
        return {"management": profile.mapping.management_of(message)}
    asked = profile.mapping.request_of(message, NOW)
    if isinstance(asked, Refusal) and profile.outward is not None:
        ours = profile.outward.mapping.request_of(message, NOW)  # as the network reads it
        if not isinstance(ours, Refusal):
            return {"asked": plain_request(ours)}
    if isinstance(asked, Refusal):
        return {"result": asked.result.name.lower(), "field": asked.field}
    return {"request": plain_request(asked)}


def judge_wire(profile: "Profile", data: bytes, mac_key: bytes) -> Message:
    """Judge bytes as they come over the line: the framing first, then the first frame's body."""
    reader = FrameReader(profile.frame, profile.codec.measure if profile.frame.kind == "message" else None)
    try:
        frames = reader.receive_data(data)
        if not frames:
            reader.eof()
    except RemoteProtocolError as error:
        return {"error": fault(error)}
    if reader.fault is not None:
        return {"error": fault(reader.fault)}
    return judge(profile, frames[0], mac_key) if frames and frames[0] else {"heartbeat": True}


def fault(error: RemoteProtocolError) -> Message:
    """Return an error as plain data."""
    return {"field": error.field, "offset": error.offset, "reason": error.reason.name.lower()}


def is_sealed(profile: "Profile", message: Message, body: bytes, mac_key: bytes) -> bool:
    """Tell whether a message carries the right MAC, or needs none."""
    if profile.mac is None or not profile.mac_required(message):
        return True
    try:
        verify_mac(profile.mac, message, profile.codec, [MacKey(mac_key)] if mac_key else [], body)
    except MacError:
        return False
    return True


def plain_request(request: Request) -> Message:
    """Return what a request asks, without what is the same in all and what is empty."""
    values = {name: getattr(request, name) for name in Request.__struct_fields__ if name not in HIDDEN}
    return {"kind": request.kind.name.lower()} | {name: value for name, value in values.items() if value}
