"""The chapter on transport: how the two sides reach each other, and what ends a connection."""

from bankmq.ibmmq_names import ibmmq_names
from bankmq.queue import CONTROL_SUFFIX
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code, joined
from qianzhi.cli.document.reaching_broker import broker
from qianzhi.cli.document.reaching_direct import direct
from qianzhi.cli.document.reaching_files import files
from qianzhi.cli.document.reaching_ibmmq import queue_manager
from qianzhi.cli.document.reaching_tls import in_the_clear, protected
from qianzhi.cli.document.samples import TITLES
from qianzhi.domain.requests import Kind
from qianzhi.link.site import entry_of


def transport(page: Page, facts: Facts) -> None:
    """Say how the two sides reach each other, and what ends a connection."""
    page.chapter(Both("Transport", "传输"))
    if facts.engine == "files":
        files(page, facts)
    elif facts.queued:
        _queue(page, facts)
    else:
        _socket(page, facts)


def _socket(page: Page, facts: Facts) -> None:
    profile = facts.profile
    limits = profile.socket
    lines = _addresses(facts)
    if limits is not None:
        allowed = where.place.allow if (where := facts.where) is not None else ()
        networks = ", ".join(map(code, allowed))
        lines.append(
            Both(
                "**Who may connect.** Only addresses that were named to us beforehand"
                + (f" (at this site {networks})" if networks else "")
                + "; any other connection is closed at once. At most "
                f"{limits.connections_max} connections at a time.",
                "**接入限制。** 只接受事先登记的地址"
                + (f"（本站点为 {networks}）" if networks else "")
                + f"，其他连接立即关闭；同时最多 {limits.connections_max} 条连接。",
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


def _addresses(facts: Facts) -> list[Both]:
    """Say where to connect, and what stands between."""
    where = facts.where
    address = entry_of(where.place) if where is not None else ""
    protection = in_the_clear() if where is None or where.tls is None else protected(where.tls, address)
    if not address:
        return [
            Both(
                "**Address.** TCP. Our address and port are agreed for each site and are not part of this "
                f"document. {protection.en}",
                f"**地址。** 采用 TCP，我方地址和端口由双方另行约定，不在本文之内。{protection.zh}",
            )
        ]
    lines = [
        Both(
            f"**Address.** TCP to `{address}`. {protection.en}",
            f"**地址。** 以 TCP 连接 `{address}`。{protection.zh}",
        )
    ]
    if where is not None and where.place.instances > 1:
        lines.append(
            Both(
                f"**Several machines.** {where.place.instances} of our processes stand behind that "
                "address; each connection may reach any of them. They share what the line knows: sign-on, "
                "keys and serials hold for all. When one fails, its connections are lost, and another one "
                "serves those that you make anew.",
                f"**多机服务。** 该地址后有我方 {where.place.instances} 个进程，每条连接可能落在任一个上。"
                "签到状态、密钥和流水号在它们之间共享，对全部有效。其中一个故障时其连接中断，重连后由"
                "另一个服务。",
            )
        )
    if where is not None and where.place.proxies:
        lines.append(
            Both(
                "**Balancer.** A load balancer of ours stands before the processes and tells them your "
                "address by the PROXY protocol. That is between the two of them: send no PROXY header "
                "yourself, the first byte on the connection is the first of your message"
                + (" (or of the TLS handshake)." if where.tls is not None else "."),
                "**负载均衡。** 我方进程前有负载均衡设备，以 PROXY 协议转告贵方地址，与贵方无关："
                "请勿自行发送 PROXY 头，连接上的首字节就是报文"
                + ("（或 TLS 握手）" if where.tls is not None else "")
                + "的首字节。",
            )
        )
    return lines


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
            "**Losing a connection.** Connect again at once, then with a pause that grows from a second to "
            "a minute. "
            "What was under way is carried out all the same and its answer is lost with the connection: "
            "ask for it as chapter 8 says.",
            "**断线。** 断线后立即重连，此后间隔从一秒逐步加大到一分钟。在途交易照常处理，但应答随连接丢失，"
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
        "document, without any length header.",
        "报文经消息队列传输：队列中的一条消息就是本文的一条报文，不带长度头。",
    )
    page.section(Both("Which queue", "队列划分"))
    money = joined(_titles(facts, Kind.OWED, Kind.RECHARGE, Kind.PAY, Kind.TOTALS))
    urgent = joined(_titles(facts, Kind.STATUS, Kind.REVERSAL, Kind.VOID))
    main, control = queue_names(facts)
    if profile.transport.one_queue:
        rows = [(code(main), Both("everything", "全部交易"))]
    else:
        rows = [(code(main), money), (code(control), urgent)]
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


def queue_names(facts: Facts) -> tuple[str, str]:
    """Return the names of the main and the control queue, as the engine and the site have them."""
    name, where = facts.profile.name, facts.where
    if facts.profile.engine == "ibmmq":
        table = where.ibmmq if where is not None else None
        names = ibmmq_names(table.prefix if table is not None else "", name)
        return names.main, names.control
    prefix = where.broker.prefix if where is not None and where.broker is not None else ""
    main = (prefix if facts.profile.engine == "rabbitmq" else "") + name
    return main, main + CONTROL_SUFFIX


def _titles(facts: Facts, *kinds: Kind) -> list[Both]:
    rows = facts.profile.table.transactions
    return list(dict.fromkeys(TITLES[Kind[rows[name].kind.upper()]] for name in facts.names_of(*kinds)))


ENGINES = {"zeromq": direct, "rabbitmq": broker, "ibmmq": queue_manager}
