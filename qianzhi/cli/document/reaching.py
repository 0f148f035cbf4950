"""The chapter on transport: how the two sides reach each other, and what ends a connection."""

from bankmq.queue import CONTROL_SUFFIX
from bankmq.zeromq import MESSAGE_ID_BYTES_MAX
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code, joined
from qianzhi.cli.document.samples import TITLES
from qianzhi.domain.requests import Kind


def transport(page: Page, facts: Facts) -> None:
    """Say how the two sides reach each other, and what ends a connection."""
    page.chapter(Both("Transport", "传输"))
    if facts.queued:
        _queue(page, facts)
    else:
        _socket(page, facts)


def _socket(page: Page, facts: Facts) -> None:
    profile = facts.profile
    limits = profile.socket
    lines = [
        Both(
            "**Address.** Plain TCP. Our address and port are agreed for each site and are not part of "
            "this document. There is no TLS on this line: run it over a leased line or a VPN.",
            "**地址。** 采用普通 TCP，我方地址和端口由双方另行约定，不在本文之内。线路上不使用 TLS，"
            "应走专线或 VPN。",
        )
    ]
    if limits is not None:
        lines.append(
            Both(
                "**Who may connect.** Only addresses that were named to us beforehand; any other "
                f"connection is closed at once. At most {limits.connections_max} connections at a time.",
                "**接入限制。** 只接受事先登记的地址，其他连接立即关闭；同时最多 "
                f"{limits.connections_max} 条连接。",
            )
        )
    lines += _connection_rules(facts)
    if limits is not None:
        lines.append(
            Both(
                "**Whole messages.** A message that has begun must be complete within "
                f"{limits.partial_seconds:g} s, or we close the connection.",
                f"**完整性。** 报文开始后须在 {limits.partial_seconds:g} 秒内收齐，否则我方关闭连接。",
            )
        )
        lines.append(
            Both(
                f"**Read what we send.** A connection on which {limits.write_buffer_bytes_max} bytes of "
                "ours lie unread is closed.",
                f"**及时接收。** 我方已发而贵方未读的数据超过 {limits.write_buffer_bytes_max} "
                "字节时关闭连接。",
            )
        )
    page.items(lines)


def _connection_rules(facts: Facts) -> list[Both]:
    session = facts.profile.session
    if facts.profile.transport.connection == "short":
        return [
            Both(
                "**Short connections.** Connect, send one message, read its answer; then we close. A "
                "second message on the same connection is an error and is not answered. You may "
                "half-close your side after sending. Several connections may be open at once, one for "
                "each message.",
                "**短连接。** 建立连接，发送一条报文，读取应答，随后由我方关闭。"
                "同一连接上的第二条报文视为错误，不予应答。贵方发送后可以半关闭。可同时打开多条连接，"
                "每条只传一笔。",
            )
        ]
    rules = [
        Both(
            "**Long connections, both ways.** Open one or several connections and keep them. Do not wait "
            "for an answer before you send the next request: answers come as they are ready, in any "
            "order, on the connection on which the request came. Match them as chapter 6 says.",
            "**长连接、全双工。** 建立一条或多条连接并保持。不必等应答即可发送下一笔；"
            "应答按完成先后返回，次序不定，从请求所在的连接返回。应答匹配方法见第 6 章。",
        ),
        Both(
            "**Losing a connection.** Connect again, with a pause that grows from a second to a minute. "
            "What was under way is carried out all the same and its answer is lost with the connection: "
            "ask for it as chapter 8 says.",
            "**断线。** 断线后重连，间隔从一秒逐步加大到一分钟。在途交易照常处理，但应答随连接丢失，"
            "须按第 8 章查询。",
        ),
    ]
    if session.echo_seconds and "echo" in facts.profile.table.management:
        rules.append(
            Both(
                f"**A quiet line.** After {session.echo_seconds} s of silence from you we send an echo. "
                f"Answer within {session.answer_seconds} s; after {session.echo_misses_max} echoes in a "
                "row without any sign of life we close the connection. You may send echoes of your own "
                "at any time.",
                f"**空闲检测。** 贵方静默 {session.echo_seconds} 秒后我方发线路测试，请在 "
                f"{session.answer_seconds} 秒内应答；连续 {session.echo_misses_max} "
                "次无任何响应则关闭连接。贵方也可随时发起线路测试。",
            )
        )
    else:
        rules.append(
            Both(
                "**A quiet line.** We send no test of our own; an idle connection stays open until one "
                "side closes it.",
                "**空闲检测。** 我方不主动发线路测试，空闲连接一直保持到一方关闭。",
            )
        )
    if facts.profile.frame.heartbeat == "zero_length":
        rules.append(
            Both(
                "**Heartbeat.** A length of zero with nothing behind it says that the line is alive. It "
                "is never answered; either side may send it.",
                "**心跳。** 长度为零、其后无内容的帧表示线路正常，双方均可发送，无须应答。",
            )
        )
    return rules


def _queue(page: Page, facts: Facts) -> None:
    profile = facts.profile
    page.say(
        "Messages travel through a message queue: one message of the queue is one message of this "
        "document, without any length header. The addresses are agreed for each site and are not part of "
        "this document. There is no TLS on this line: run it over a leased line or a VPN.",
        "报文经消息队列传输：队列中的一条消息就是本文的一条报文，不带长度头。地址由双方另行约定，"
        "不在本文之内。线路上不使用 TLS，应走专线或 VPN。",
    )
    page.section(Both("Which queue", "队列划分"))
    money = joined(_titles(facts, Kind.OWED, Kind.RECHARGE, Kind.PAY, Kind.TOTALS))
    urgent = joined(_titles(facts, Kind.STATUS, Kind.REVERSAL))
    control = profile.name + CONTROL_SUFFIX
    if profile.transport.one_queue:
        rows = [(code(profile.name), Both("everything", "全部交易"))]
    else:
        rows = [(code(profile.name), money), (code(control), urgent)]
    page.table((Both("queue", "队列"), Both("carries", "承载交易")), rows)
    if profile.engine == "zeromq" and not profile.transport.one_queue:
        page.say(
            "Each of them has an address of its own; the name of the queue stands in no message.",
            "两个队列各有一个地址；队列名不出现在报文中。",
        )
    if not profile.transport.one_queue:
        page.say(
            "The first is paused when we are overloaded, so that messages wait in it; the second never "
            "is. A message on the wrong one of the two is served all the same, but may wait.",
            "过载时前者暂停消费，报文在队列中等待；后者从不暂停。报文送错队列仍会处理，但可能要等待。",
        )
    ENGINES[profile.engine](page, facts)


def _titles(facts: Facts, *kinds: Kind) -> list[Both]:
    rows = facts.profile.table.transactions
    return list(dict.fromkeys(TITLES[Kind[rows[name].kind.upper()]] for name in facts.names_of(*kinds)))


def _direct(page: Page, facts: Facts) -> None:
    page.section(Both("Direct queue (ZeroMQ)", "直连队列（ZeroMQ）"))
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
    size = facts.profile.frame.frame_bytes_max
    page.items(
        [
            Both(
                f"The message id is yours: 1 to {MESSAGE_ID_BYTES_MAX} bytes of any value, different for "
                "every message that is waiting for its answer. The answer brings it back. While one waits, "
                "whatever else comes from the same socket under its id is dropped as a copy of it, even "
                "if it "
                "is another message.",
                f"消息号由贵方自定，1 至 {MESSAGE_ID_BYTES_MAX} 字节，内容不限，"
                "未获应答的消息之间不得重复；应答原样带回。等待应答期间，同一套接字以相同消息号再来的消息"
                "一律视为重复而丢弃，即使内容不同。",
            ),
            Both(
                f"The body has 1 to {size} bytes. A longer or empty one, an id that is empty or too "
                "long, and "
                "another number of frames are dropped without an answer.",
                f"报文为 1 至 {size} 字节。报文为空或超长、消息号为空或超长、帧数不符的消息直接丢弃，不"
                "予应答。",
            ),
            Both(
                "Nothing is stored on the way: keep every message until its answer. When and how often "
                "to send it "
                "again says 8.2.",
                "途中不落盘，贵方须保留每条消息直到收到应答。何时重发、重发几次见第 8.2 节。",
            ),
            Both(
                "Turn on ZeroMQ's heartbeats (ours: every 5 s) so that a dead connection is noticed, and "
                "let the socket reconnect by itself.",
                "建议启用 ZeroMQ 心跳（我方每 5 秒一次）以便发现断线，并使用自动重连。",
            ),
        ]
    )


def _broker(page: Page, facts: Facts) -> None:
    name = facts.profile.name
    page.section(Both("Broker (RabbitMQ)", "经消息中间件（RabbitMQ）"))
    page.items(
        [
            Both(
                f"Publish to the default exchange with the queue's name as routing key ({code(name)}), "
                "persistent, with publisher confirms; the AMQP body is the message's body.",
                f"向默认交换机发布，路由键为队列名（{code(name)}），持久化，并启用发布确认；AMQP "
                "消息体即报文。",
            ),
            Both(
                "Set `message_id` (your message id), `correlation_id` (the same), `reply_to` (the queue "
                "on which you wait for answers) and, where you wish, `expiration`: a message past it is "
                "not carried out. Answers come to `reply_to` with your `correlation_id`.",
                "填写 `message_id`（消息号）、`correlation_id`（同值）、`reply_to`（接收应答的队列），"
                "可选 `expiration`：过期的报文不再受理。应答发往 `reply_to`，带回 `correlation_id`。",
            ),
            Both(
                f"What cannot be read goes to `{name}.bo`, what the broker gives up to `{name}.dlq`; "
                "neither is answered.",
                f"无法解析的报文转入 `{name}.bo`，中间件放弃投递的转入 `{name}.dlq`，两者都不应答。",
            ),
        ]
    )


ENGINES = {"zeromq": _direct, "rabbitmq": _broker}
