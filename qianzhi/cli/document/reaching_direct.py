"""The part of the chapter on transport about direct queues (ZeroMQ)."""

from bankmq.zeromq import MESSAGE_ID_BYTES_MAX
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code


def direct(page: Page, facts: Facts) -> None:
    """Say how a bank connects to us without a broker."""
    page.section(Both("Direct queue (ZeroMQ)", "直连队列（ZeroMQ）"))
    _addresses(page, facts)
    page.say(
        "We bind one ZeroMQ ROUTER socket for each queue; you connect a DEALER socket to each (ZMTP 3 "
        "over TCP, mechanism NULL). Every message has exactly two frames on your side:",
        "我方为每个队列绑定一个 ZeroMQ ROUTER 套接字，贵方各用一个 DEALER 套接字连接（ZMTP 3，NULL "
        "机制）。贵方一侧每条消息恰有两帧：",
    )
    page.drawing(
        "DEALER -> ROUTER   [ message id ][ body ]\nROUTER -> DEALER   [ message id ][ body of the answer ]"
        if page.language == "en"
        else "DEALER -> ROUTER   [ 消息号 ][ 报文 ]\nROUTER -> DEALER   [ 消息号 ][ 应答报文 ]"
    )
    page.items(_rules(facts.profile.frame.frame_bytes_max))


def _addresses(page: Page, facts: Facts) -> None:
    if facts.where is None:
        page.say(
            "The addresses are agreed for each site and are not part of this document. There is no TLS on "
            "this line: run it over a leased line or a VPN.",
            "地址由双方另行约定，不在本文之内。线路上不使用 TLS，应走专线或 VPN。",
        )
        return
    place = facts.where.place
    main, control = facts.profile.name, f"{facts.profile.name}.ctl"
    rows = []
    for instance in range(1, place.instances + 1):
        at = place.at(instance)
        rows += [(code(name), code(to)) for name, to in ((main, at.listen), (control, at.control)) if to]
    page.table((Both("queue", "队列"), Both("address", "地址")), rows)
    page.say(
        "There is no TLS on this line: run it over a leased line or a VPN.",
        "线路上不使用 TLS，应走专线或 VPN。",
    )
    if place.instances > 1:
        page.say(
            "A queue with several addresses is served by several processes of ours. Connect the same DEALER "
            "socket to all of them: ZeroMQ deals the messages out, and leaves out an address while nobody "
            "answers there. When a connection is lost, send again what has no answer yet, under the same "
            "message ids: another process answers it. Set ZMQ_IMMEDIATE, so that nothing waits for an "
            "address that is gone.",
            "有多个地址的队列由我方多个进程服务。请把同一个 DEALER 套接字连到全部地址：ZeroMQ 轮流分发，"
            "并跳过无人应答的地址。连接中断时，把尚无应答的消息以相同消息号再发一次，由另一进程应答。"
            "请设置 ZMQ_IMMEDIATE，以免消息滞留在已断开的地址上。",
        )


def _rules(size: int) -> list[Both]:
    return [
        Both(
            f"The message id is yours: 1 to {MESSAGE_ID_BYTES_MAX} bytes of any value, different for "
            "every message that is waiting for its answer. The answer brings it back. While one waits, "
            "whatever else comes from the same socket under its id is dropped as a copy of it, even "
            "if it is another message.",
            f"消息号由贵方自定，1 至 {MESSAGE_ID_BYTES_MAX} 字节，内容不限，"
            "未获应答的消息之间不得重复；应答原样带回。等待应答期间，同一套接字以相同消息号再来的消息"
            "一律视为重复而丢弃，即使内容不同。",
        ),
        Both(
            f"The body has 1 to {size} bytes. A longer or empty one, an id that is empty or too "
            "long, and another number of frames are dropped without an answer.",
            f"报文为 1 至 {size} 字节。报文为空或超长、消息号为空或超长、帧数不符的消息直接丢弃，不予应答。",
        ),
        Both(
            "Nothing is stored on the way: keep every message until its answer. When and how often "
            "to send it again says 8.2.",
            "途中不落盘，贵方须保留每条消息直到收到应答。何时重发、重发几次见第 8.2 节。",
        ),
        Both(
            "Turn on ZeroMQ's heartbeats (ours: every 5 s) so that a dead connection is noticed, and "
            "let the socket reconnect by itself.",
            "建议启用 ZeroMQ 心跳（我方每 5 秒一次）以便发现断线，并使用自动重连。",
        ),
    ]
