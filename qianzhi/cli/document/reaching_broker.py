"""The part of the chapter on transport about queues on RabbitMQ: all that a program needs to use them."""

from bankmq.amqp_messages import DIRECT_REPLY
from bankmq.amqp_names import BankNames, bank_names
from bankmq.rabbit_core import REPLY_MS
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code, joined
from qianzhi.cli.document.reaching_tls import in_the_clear, protected

ITEM = (Both("item", "项目"), Both("value", "内容"))
PROPERTY = (Both("property", "属性"), Both("content", "内容"))
DAY_MS = 86_400_000


def broker(page: Page, facts: Facts) -> None:
    """Say how a bank logs in, asks, hears, and what becomes of a message that is not served."""
    where = facts.where
    prefix = where.broker.prefix if where is not None and where.broker is not None else ""
    names = bank_names(prefix, facts.profile.name)
    page.section(Both("The broker (RabbitMQ)", "消息中间件（RabbitMQ）"))
    _connecting(page, facts, names)
    page.section(Both("Question and answer, step by step", "请求与应答步骤"))
    page.steps(_steps(names, one_queue=facts.profile.transport.one_queue))
    page.section(Both("Properties of your message", "请求消息的属性"))
    page.table(PROPERTY, _asked(names))
    page.section(Both("Properties of our answer", "应答消息的属性"))
    page.table(PROPERTY, _answered())
    page.section(Both("What is not served", "不予处理的消息"))
    page.items(_unserved(facts, names))
    page.section(Both("Losing the connection", "断线处理"))
    page.items(_lost(names))


def _connecting(page: Page, facts: Facts, names: BankNames) -> None:
    table = facts.where.broker if facts.where is not None else None
    hosts = list(table.hosts) if table is not None else []
    apart = Both("agreed for each site, not part of this document", "由双方另行约定，不在本文之内")
    others = Both(
        "; any of them serves you: when one does not answer, dial the next",
        "；任一均可服务，无应答时改连下一个",
    )
    at = joined(map(code, hosts))
    address = Both(at.en + others.en, at.zh + others.zh) if len(hosts) > 1 else at if hosts else apart
    tls = facts.where.tls if facts.where is not None else None
    trial = facts.where.trial_password if facts.where is not None else ""
    secret = (
        Both(
            f"{code(trial)}, for trying; the real one is handed over",
            f"{code(trial)}，仅供联调；正式口令另行交接",
        )
        if trial
        else Both("handed over separately", "另行交接")
    )
    rows = [
        (Both("protocol", "协议"), Both("AMQP 0-9-1", "AMQP 0-9-1")),
        (Both("address", "地址"), address),
        (Both("TLS", "TLS"), protected(tls, hosts[0]) if tls is not None and hosts else in_the_clear()),
        (Both("virtual host", "虚拟主机"), code(table.vhost) if table is not None else apart),
        (Both("login", "登录机制"), Both("PLAIN", "PLAIN")),
        (Both("user", "用户"), code(names.user)),
        (Both("password", "口令"), secret),
        (
            Both("heartbeat", "心跳"),
            Both(
                "ask for 10 to 60 s, and let your client read from the connection at least that often, "
                "also while nothing is asked",
                "建议 10 至 60 秒；空闲时也须至少以此频率读取连接",
            ),
        ),
        (
            Both("exchange to which you publish", "发布到的交换机"),
            Both(
                f"{code(names.exchange)}: direct, durable; we have made it, do not declare it",
                f"{code(names.exchange)}：direct 类型，持久化；由我方建立，请勿声明",
            ),
        ),
        (
            Both("routing key", "路由键"),
            Both("the name of the queue, as in 2.1", "队列名，见第 2.1 节"),
        ),
        (
            Both("queue for answers", "应答队列"),
            Both(
                f"yours: you declare it, and its name begins with {code(names.reply)}",
                f"由贵方声明，名称以 {code(names.reply)} 开头",
            ),
        ),
    ]
    page.table(ITEM, rows)
    page.say(
        f"Your user may publish to {code(names.exchange)}, and declare, read, purge and delete queues whose "
        f"names begin with {code(names.reply)}; nothing else. Whatever else you try closes the channel with "
        "`403 ACCESS_REFUSED`: that includes publishing to the default exchange (the one without a name), "
        "and declaring or consuming the queues of 2.1. A `404 NOT_FOUND` for the exchange says that our side "
        "was never started on this broker: call us.",
        f"贵方用户只能向 {code(names.exchange)} 发布，以及声明、读取、清空和删除名称以 {code(names.reply)} "
        "开头的队列。其他操作一律以 `403 ACCESS_REFUSED` 关闭信道，包括向默认（无名）交换机发布，"
        "以及声明或消费第 2.1 节的队列。发布时返回 `404 NOT_FOUND` 表示我方从未"
        "在该中间件上启动，请联系我方。",
    )


def _steps(names: BankNames, *, one_queue: bool) -> list[Both]:
    keys = (
        Both(f"{code(names.main)}", f"{code(names.main)}")
        if one_queue
        else Both(
            f"{code(names.main)} or {code(names.control)} (2.1)",
            f"{code(names.main)} 或 {code(names.control)}（见第 2.1 节）",
        )
    )
    mine = code(f"{names.reply}.1")
    return [
        Both(
            "Connect, open a channel, and send `confirm.select` on it.",
            "建立连接，打开信道，并在其上发送 `confirm.select`。",
        ),
        Both(
            f"Declare your queue for answers, such as {mine}: `durable` = true, `exclusive` = false, "
            "`auto_delete` = false, no arguments. Bind it to nothing: we reach it by its name. Each running "
            "program needs one of its own; two that read the same queue take each other's answers. Declare "
            "it every time that you connect, with the same values: that it exists already is no error. An "
            "exclusive queue works as well, and is lost with the connection together with what lies in it.",
            f"声明应答队列，如 {mine}：`durable` = true，`exclusive` = false，`auto_delete` = false，无附加"
            "参数。不必绑定，我方按队列名投递。每个运行的程序各用一个；两个程序读同一队列会互相取走应答。"
            "每次连接都以相同参数声明，已存在不算错误。也可用独占队列，但断线时队列连同其中的应答一并丢失。",
        ),
        Both(
            "Send `basic.consume` for it, with acknowledgements (`no_ack` = false).",
            "对该队列发送 `basic.consume`，采用确认方式（`no_ack` = false）。",
        ),
        Both(
            f"Publish each request to {code(names.exchange)} with routing key {keys.en}, `mandatory` = true, "
            "`immediate` = false, the properties of 2.4, and the message of this document as the body. You "
            "need not wait for one answer before you send the next request.",
            f"向 {code(names.exchange)} 发布请求，路由键 {keys.zh}，`mandatory` = true，`immediate` = false，"
            "属性见第 2.4 节，消息体即本文所述报文。不必等应答即可发送下一笔。",
        ),
        Both(
            "Wait for the broker's confirm. `basic.ack` (it may confirm several at once: `multiple`): the "
            "message is on disk and will be served, also when the broker restarts. `basic.return` before the "
            "`basic.ack`: nobody has that queue, so that nothing was taken; check exchange and routing key, "
            "and try again later. `basic.nack`: not taken either; try again later. The answer may overtake "
            "the confirm: read both as they come.",
            "等待中间件确认。`basic.ack`（`multiple` 时一次确认多条）：消息已落盘，中间件重启也会处理。"
            "`basic.ack` 之前收到 `basic.return`：没有该队列，消息未被接收，请核对交换机和路由键后再试。"
            "`basic.nack`：同样未被接收，稍后再试。应答可能先于确认到达，两者须按到达次序读取。",
        ),
        Both(
            "Take the answer from your queue. It belongs to the request whose `message_id` stands in its "
            "`correlation_id`, and to the one that the fields of 6.2 say; look at both. Acknowledge it "
            "(`basic.ack`) once you have kept what it says.",
            "从应答队列取应答。其 `correlation_id` 等于所属请求的 `message_id`，并且与第 6.2 节的字段一致；"
            "两者都应核对。保存应答内容之后再确认（`basic.ack`）。",
        ),
    ]


def _asked(names: BankNames) -> list[tuple[str | Both, Both]]:
    return [
        (
            code("message_id"),
            Both(
                "your name for this message: 1 to 255 bytes of text, another one for each message. A message "
                "without it is served; its answer then has an empty `correlation_id`.",
                "贵方给本条消息的编号：1 至 255 字节文本，每条不同。缺少时照常处理，但应答的 "
                "`correlation_id` 为空。",
            ),
        ),
        (
            code("reply_to"),
            Both(
                f"required: the name of your queue for answers. It begins with {code(names.reply)}; a "
                "message with another name, or with none, is not served.",
                f"必填：应答队列名，以 {code(names.reply)} 开头；缺少或为其他名称的消息不予处理。",
            ),
        ),
        (
            code("delivery_mode"),
            Both(
                "2 (persistent) for everything that moves money. 1 is allowed for queries; the answer has "
                "the same mode as its request.",
                "涉及资金的一律填 2（持久化），查询可填 1；应答与请求相同。",
            ),
        ),
        (
            code("expiration"),
            Both(
                "optional: how long the message may wait, in milliseconds, written as text (`30000`). See "
                "2.6. Leave it out when the message may wait.",
                "可选：消息最长等待的毫秒数，写成文本（如 `30000`），见第 2.6 节。不限时则不填。",
            ),
        ),
        (
            code("timestamp"),
            Both(
                "when you sent it, in whole seconds since 1970-01-01 00:00 UTC. Set it whenever you set "
                "`expiration`: the time is then counted from it, else from when we read the message.",
                "发送时间，自 1970-01-01 00:00 UTC 起的整秒数。填 `expiration` 时应同时填写，有效期从该时间"
                "算起；不填则从我方读到消息时算起。",
            ),
        ),
        *_asked_besides(names),
    ]


def _asked_besides(names: BankNames) -> list[tuple[str | Both, Both]]:
    """Return the properties that a bank can do without."""
    return [
        (code("content_type"), Both("optional; the answer brings it back.", "可选，应答原样带回。")),
        (
            code("priority"),
            Both(
                "optional; it changes nothing. What is urgent goes to its own queue (2.1).",
                "可选，不影响处理次序；紧急交易有单独的队列（见第 2.1 节）。",
            ),
        ),
        (
            code("user_id"),
            Both(
                f"leave it out, or write {code(names.user)}: the broker refuses any other name with "
                "`406 PRECONDITION_FAILED`.",
                f"不填，或填 {code(names.user)}；填其他名称时中间件以 `406 PRECONDITION_FAILED` 拒绝。",
            ),
        ),
        (
            Both("all others, and headers", "其余属性及消息头"),
            Both(
                "are not looked at, your own `correlation_id` among them.",
                "一律忽略，包括贵方自填的 `correlation_id`。",
            ),
        ),
    ]


def _answered() -> list[tuple[str | Both, Both]]:
    hours = REPLY_MS * 24 // DAY_MS
    return [
        (
            code("correlation_id"),
            Both(
                "the `message_id` of the request; empty, but there, when the request had none.",
                "请求的 `message_id`；请求没有时存在但为空。",
            ),
        ),
        (code("message_id"), Both("ours; of no meaning to you.", "我方编号，对贵方无意义。")),
        (code("delivery_mode"), Both("that of the request.", "与请求相同。")),
        (
            code("expiration"),
            Both(
                f"{code(str(REPLY_MS))}: an answer that nobody has fetched for {hours} h is dropped.",
                f"{code(str(REPLY_MS))}：{hours} 小时无人取走的应答即丢弃。",
            ),
        ),
        (code("timestamp"), Both("when we answered.", "我方应答时间。")),
        (code("content_type"), Both("that of the request.", "与请求相同。")),
    ]


def _unserved(facts: Facts, names: BankNames) -> list[Both]:
    size = facts.profile.frame.frame_bytes_max
    return [
        Both(
            "**Expired.** A message that is past its `expiration` when its turn comes is not carried out and "
            "not answered. One that expires while it is carried out is answered by then, if only with the "
            "code for an open outcome. A missing answer does not tell you which of the two it was: go on "
            "as 8.2 says.",
            "**过期。** 轮到处理时已超过 `expiration` 的消息不受理、不应答；处理途中到期的，届时给出应答，"
            "可能是未定的返回码。未收到应答时无法区分这两种情形，一律按第 8.2 节处理。",
        ),
        Both(
            f"**{code(names.backout)}.** A message that cannot be served for a fault of its own is moved to "
            "this queue, without an answer, before anything was carried out: a body that cannot be read "
            f"(chapter 3), an empty one, one of more than {size} bytes, a missing or foreign `reply_to`. Our "
            "operators look at it and call you; its serial is not used up by that. A message at which our "
            "program failed twice is put there as well: a status query settles what it asked for.",
            f"**{code(names.backout)}。** 因自身原因无法处理的消息转入该队列，不作应答，也未作任何处理：报文"
            f"无法解析（第 3 章）、为空、超过 {size} 字节，`reply_to` 缺失或不属于贵方。由我方人员查看并联系"
            "贵方，其流水号不因此占用。我方程序处理时两次异常的消息也转入该队列，以状态查询定论。",
        ),
        Both(
            f"**{code(names.dead)}.** What the broker itself gives up, because it expired in the queue or "
            "was handed out in vain too often, is moved to this queue and never carried out by itself "
            "afterwards. It is not answered; a status query settles what it asked for.",
            f"**{code(names.dead)}。** 在队列中过期或多次投递失败的消息由中间件转入该队列，此后不会自动受理，"
            "也不应答；以状态查询定论。",
        ),
        Both(
            "**A queue for answers that is gone.** When `reply_to` names a queue that does not exist any "
            "more, the answer is lost, but what it tells of stands: ask as 8.2 says.",
            "**应答队列已不存在。** `reply_to` 所指队列已不存在时应答丢失，但交易结果有效，按第 8.2 节查询。",
        ),
    ]


def _lost(names: BankNames) -> list[Both]:
    return [
        Both(
            "Connect again, at first after a fraction of a second, then with pauses that grow to some "
            "seconds; declare your queue and consume as before. Answers that came meanwhile lie in it, "
            "unless it was exclusive. An answer that you had not acknowledged comes again.",
            "立即重连，随后间隔逐步加大到数秒；照旧声明并消费应答队列。其间到达的应答仍在队列中（独占队列除"
            "外），未确认的应答会再次投递。",
        ),
        Both(
            "Publish again, with the same `message_id` and body, what the broker had not confirmed; what it "
            "had confirmed is not lost and need not be sent again.",
            "中间件未确认的消息以相同 `message_id` 和报文再次发布；已确认的不会丢失，无须重发。",
        ),
        Both(
            "When the broker sends `connection.blocked`, it is short of memory or disk: publish nothing "
            "until `connection.unblocked`. It tells this only to clients that name the capability "
            "`connection.blocked` when they connect; a confirm that does not come means the same.",
            "收到 `connection.blocked` 表示中间件内存或磁盘不足：在收到 `connection.unblocked` 之前不要发布。"
            "只有在连接时声明 `connection.blocked` 能力的客户端才会收到；迟迟没有确认也是同样含义。",
        ),
        Both(
            f"A program that asks only what is owed may use {code(DIRECT_REPLY)} as `reply_to` instead of a "
            "queue: consume it with `no_ack` = true on the same channel before the first request. Answers on "
            "their way are lost with the connection.",
            f"只做欠费查询的程序可用 {code(DIRECT_REPLY)} 作 `reply_to`，不必声明队列：在同一信道上先以 "
            "`no_ack` = true 消费它，再发送请求。断线时途中的应答丢失。",
        ),
    ]
