"""The chapter on framing: how bytes become messages."""

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code, joined
from qianzhi.cli.document.samples import Sample


def framing(page: Page, facts: Facts) -> None:
    """Draw how messages are told apart, with an example."""
    page.chapter(Both("Framing", "报文分界"))
    if facts.engine == "files":
        page.say(
            "The lines or records of a file keep the boundaries of messages, as chapter 2 says; there is no "
            "length header.",
            "报文边界由文件的行或记录保证（见第 2 章），没有长度头。",
        )
    elif facts.profile.frame.kind == "none":
        page.say(
            "The queue keeps the boundaries of messages: there is no length header, and a message begins "
            "with the first byte of its body.",
            "报文边界由队列保证：没有长度头，消息的第一个字节就是报文的第一个字节。",
        )
    else:
        FRAMES[facts.profile.frame.kind](page, facts)
    page.items(_frame_rules(facts))
    _borders(page, facts)


def _example(facts: Facts) -> Sample:
    """Return the shortest message that the bank sends."""
    return min((one for one in facts.samples if not one.ours), key=lambda one: len(one.wire))


LENGTHS = {
    "ascii": Both("{0} ASCII digits, with leading zeros", "{0} 位 ASCII 数字，左补 0"),
    "binary": Both("{0} bytes, binary, most significant byte first", "{0} 字节二进制数，高位在前"),
    "bcd": Both("{0} bytes of packed BCD, two digits in each", "{0} 字节压缩 BCD，每字节两位数字"),
}


def _prefixed(page: Page, facts: Facts) -> None:
    spec, sample = facts.profile.frame, _example(facts)
    words = LENGTHS[spec.kind]
    header = sample.wire[: spec.size]
    number = (
        int(header.hex() if spec.kind == "bcd" else header)
        if spec.kind != "binary"
        else int.from_bytes(header)
    )
    rest = len(sample.wire) - spec.size
    page.say(
        f"Every message stands behind its length: {words.en.format(spec.size)}. "
        + (
            "The number counts the length header itself and the body."
            if spec.inclusive
            else "The number counts the body alone, not the length header."
        ),
        f"每条报文前有长度头：{words.zh.format(spec.size)}。"
        + ("长度包含长度头本身和报文体。" if spec.inclusive else "长度只计报文体，不含长度头。"),
    )
    body = sample.wire[spec.size : spec.size + 8].hex(" ").upper()
    length = Both(f"length, {spec.size} bytes", f"长度头，{spec.size} 字节")
    whole = Both(f"body, {rest} bytes in the example", f"报文体，例中 {rest} 字节")
    page.boxes((length, whole), (header.hex(" ").upper(), f"{body} ..."))
    shown = header.decode("ascii") if spec.kind == "ascii" else header.hex(" ").upper()
    page.say(
        f"Here the body has {rest} bytes"
        + (f", {rest} + {spec.size} = {number}" if spec.inclusive else "")
        + f", so the length header is `{shown}`"
        + (f" (bytes `{header.hex(' ').upper()}`)" if spec.kind == "ascii" else "")
        + f". It is the message of sample *{page.text(sample.title)}, request*.",
        f"例中报文体 {rest} 字节"
        + (f"，{rest} + {spec.size} = {number}" if spec.inclusive else "")
        + f"，故长度头为 `{shown}`"
        + (f"（字节 `{header.hex(' ').upper()}`）" if spec.kind == "ascii" else "")
        + f"。该报文即示例“{page.text(sample.title)}”的请求。",
    )
    if spec.keep:
        page.say(
            "The length header is at the same time the first field of the message's own header, and "
            "offsets in this document count from it.",
            "长度头同时是报文头的第一个字段，本文的偏移量从它算起。",
        )


def _measured(page: Page, facts: Facts) -> None:
    page.say(
        "There is no length header. A message shows its own end: read the message type and the bitmap, "
        "then each field that the bitmap announces; the message ends with its last field. On a "
        "connection that carries one message each way you may also read until we close.",
        "没有长度头，报文自身决定边界：先读消息类型和位图，再按位图逐域读取，最后一个域结束即报文结束。"
        "一条连接只往返一次时，也可读到我方关闭为止。",
    )
    fields = Both("fields in ascending order, to the last", "各域按域号升序，直到最后一个")
    page.boxes((Both("message type", "消息类型"), Both("bitmap(s)", "位图"), fields))


FRAMES = {"ascii": _prefixed, "binary": _prefixed, "bcd": _prefixed, "message": _measured}


def _frame_rules(facts: Facts) -> list[Both]:
    spec = facts.profile.frame
    rules = [
        Both(
            f"The longest body is {spec.frame_bytes_max} bytes.", f"报文体最长 {spec.frame_bytes_max} 字节。"
        )
    ]
    if spec.kind in LENGTHS:
        bad = _bad_lengths(facts)
        rules.append(
            Both(
                "TCP keeps no boundaries: a read may bring half a message or several. Collect bytes, "
                "read the length, wait for the rest.",
                "TCP 不保证边界：一次读取可能只有半条，也可能有多条。应先收长度，再收足其余字节。",
            )
        )
        rules.append(
            Both(
                f"After a length that is {bad.en} too large, the stream cannot be read any further: we close "
                "the connection.",
                f"长度{bad.zh}超长时，字节流已无法继续解析，我方关闭连接。",
            )
        )
    if spec.heartbeat == "zero_length":
        zero = bytes(spec.size) if spec.kind != "ascii" else b"0" * spec.size
        rules.append(
            Both(
                f"The heartbeat is a length of zero alone: `{zero.hex(' ').upper()}`.",
                f"心跳为单独的零长度：`{zero.hex(' ').upper()}`。",
            )
        )
    rules.append(_unreadable(facts))
    return rules


def _bad_lengths(facts: Facts) -> Both:
    """Name the lengths that end a stream, except one that is too large."""
    kinds = []
    if facts.profile.frame.kind != "binary":
        kinds.append(Both("no number", "不是数字"))
    if not facts.profile.frame.heartbeat:
        kinds.append(Both("zero", "为零"))
    return joined([*kinds, Both("", "")], " or ", "或")


def _borders(page: Page, facts: Facts) -> None:
    """Write what broken requests hear, as they heard it on the bench."""
    if not facts.borders:
        return
    page.say(
        "What can be read but is wrong in its content hears a refusal; what cannot be read does not. So "
        "each of "
        "these faults fares in a recharge, with its MAC made anew where that is possible:",
        "能解析而内容有误的报文得到拒绝应答；无法解析的不作应答。充值报文的下列错误（能重算 MAC 的均已重"
        "算）处理如下：",
    )
    silence = (
        Both("`?UNREADABLE`", "`?UNREADABLE`")
        if facts.engine == "files"
        else Both("no answer", "不应答")
        if facts.queued
        else Both("no answer; we close the connection", "不应答，关闭连接")
    )
    back = Both("sent back with a reject code", "带拒绝码退回")
    page.table(
        (Both("fault", "错误"), Both("what you hear", "处理")),
        [
            (
                one.words,
                back if one.returned else Both(code(one.code), code(one.code)) if one.code else silence,
            )
            for one in facts.borders
        ],
    )


def _unreadable(facts: Facts) -> Both:
    if "header.reject_code" in facts.profile.codec.paths():
        return Both(
            "A message that cannot be read comes back to you as it was, with source and destination "
            "exchanged and a reject code other than `00000` in the header. It is then neither request "
            "nor answer: look at the reject code before the message type.",
            "无法解析的报文原样退回，源与目的标识互换，报文头中的拒绝码不为 `00000`。"
            "此时它既非请求也非应答，应先看拒绝码再看消息类型。",
        )
    if facts.engine == "files":
        return Both(
            "A line that cannot be read has a mark in the answer file, see chapter 2.",
            "无法解析的行在应答文件中以标记表示，见第 2 章。",
        )
    if facts.queued:
        return Both(
            "A body that cannot be read is not answered at all.",
            "无法解析的报文不予应答。",
        )
    return Both(
        "A body that cannot be read is not answered; we close the connection.",
        "无法解析的报文不予应答，我方关闭连接。",
    )
