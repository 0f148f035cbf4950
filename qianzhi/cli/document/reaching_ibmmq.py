"""The part of the chapter on transport about queues on a queue manager of IBM MQ."""

from bankmq.ibmmq_names import IbmmqNames, ibmmq_names
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code, joined

FIELD = (Both("MQMD field", "MQMD 字段"), Both("content", "内容"))


def queue_manager(page: Page, facts: Facts) -> None:
    """Say how a bank puts and gets, and what becomes of a message that is not served."""
    table = facts.where.ibmmq if facts.where is not None else None
    names = ibmmq_names(table.prefix if table is not None else "", facts.profile.name)
    page.section(Both("Queue manager (IBM MQ)", "队列管理器（IBM MQ）"))
    apart = Both("agreed for each site, not part of this document", "由双方另行约定，不在本文之内")
    manager = code(table.queue_manager) if table is not None else apart
    page.table(
        (Both("item", "项目"), Both("value", "内容")),
        [
            (Both("queue manager", "队列管理器"), manager),
            (Both("connection, channel, user", "连接、通道、用户"), apart),
            (
                Both("queue for answers", "应答队列"),
                Both(
                    f"{code(names.reply)}, or a name that begins with {code(names.reply + '.')}; each "
                    "running program reads one of its own",
                    f"{code(names.reply)}，或以 {code(names.reply + '.')} 开头；每个运行的程序各用一个",
                ),
            ),
        ],
    )
    page.section(Both("MQMD of your message", "请求的 MQMD"))
    page.table(FIELD, _asked(names))
    page.section(Both("MQMD of our answer", "应答的 MQMD"))
    page.table(FIELD, _answered())
    page.section(Both("What is not served", "不予处理的消息"))
    page.items(_unserved(facts, names))


def _asked(names: IbmmqNames) -> list[tuple[str | Both, Both]]:
    return [
        (code("MsgType"), Both("1 (MQMT_REQUEST)", "1（MQMT_REQUEST）")),
        (
            code("MsgId"),
            Both("leave it blank; the queue manager makes one", "留空，由队列管理器生成"),
        ),
        (
            code("ReplyToQ"),
            Both(
                f"required: your queue for answers, {code(names.reply)} or one that begins with "
                f"{code(names.reply + '.')}",
                f"必填：应答队列，{code(names.reply)} 或以 {code(names.reply + '.')} 开头",
            ),
        ),
        (code("ReplyToQMgr"), Both("blank, or your own queue manager", "留空，或贵方队列管理器")),
        (
            code("Persistence"),
            Both("1 for everything that moves money; 0 is allowed for queries", "涉及资金填 1，查询可填 0"),
        ),
        (
            code("Expiry"),
            Both(
                "optional, in tenths of a second: past it the message is not carried out; -1 for never",
                "可选，单位十分之一秒，过期不受理；-1 为不限",
            ),
        ),
        (
            code("Format"),
            Both(
                "blank (MQFMT_NONE): the body is bytes and is not converted on the way",
                "留空（MQFMT_NONE）：报文为字节，途中不作转换",
            ),
        ),
        (
            code("Report"),
            Both(
                "0, or 64 (MQRO_PASS_CORREL_ID) to get your own CorrelId back",
                "0；填 64（MQRO_PASS_CORREL_ID）则带回贵方的 CorrelId",
            ),
        ),
        (code("Priority"), Both("changes nothing", "不影响处理次序")),
    ]


def _answered() -> list[tuple[str | Both, Both]]:
    return [
        (code("MsgType"), Both("2 (MQMT_REPLY)", "2（MQMT_REPLY）")),
        (
            code("CorrelId"),
            Both("the MsgId of the request: get with MQMO_MATCH_CORREL_ID", "请求的 MsgId，按其匹配取回"),
        ),
        (
            joined([code("Persistence"), code("Format"), code("CodedCharSetId")]),
            Both("those of the request", "与请求相同"),
        ),
        (
            code("Expiry"),
            Both("a day: an answer that nobody has fetched is dropped", "一天，无人取走的应答即丢弃"),
        ),
    ]


def _unserved(facts: Facts, names: IbmmqNames) -> list[Both]:
    size = facts.profile.frame.frame_bytes_max
    return [
        Both(
            f"A message that cannot be served for a fault of its own goes to {code(names.backout)}, without "
            "an answer, before anything was carried out: a body that cannot be read, an empty one, one of "
            f"more than {size} bytes, a missing or foreign ReplyToQ.",
            f"因自身原因无法处理的消息转入 {code(names.backout)}，不作应答，也未作任何处理：报文无法解析、"
            f"为空、超过 {size} 字节，ReplyToQ 缺失或不属于贵方。",
        ),
        Both(
            "Reason 2009 (connection broken) during MQCMIT or MQPUT leaves open whether the message was "
            "put: go on as 8.2 says; sending the same again is safe.",
            "MQCMIT 或 MQPUT 时返回 2009（断线），消息是否放入未定：按第 8.2 节处理，重发是安全的。",
        ),
    ]
