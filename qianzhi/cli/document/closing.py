"""The last chapters: a list to work through before the first connection, and a short glossary."""

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result


def checklist(page: Page, facts: Facts) -> None:
    """Write what to have and to try before money moves."""
    page.chapter(Both("Before the first connection", "首次联调检查表"))
    page.point(Both("Agree and hand over", "约定与交接"))
    page.items(_to_agree(facts))
    page.point(Both("Try without a line", "离线验证"))
    page.items(
        [
            Both(
                "Your program reads every sample from us to the last byte.",
                "贵方程序能逐字节解析我方发出的全部示例。",
            ),
            Both(
                "From the same values it writes every sample from you, byte for byte.",
                "用相同的值能生成与贵方示例逐字节一致的报文。",
            ),
            *(
                [
                    Both(
                        "It computes the MAC of every sample under the test key.",
                        "能用测试密钥算出每条示例的 MAC。",
                    )
                ]
                if facts.profile.mac is not None
                else []
            ),
        ]
    )
    page.point(Both("Try on the line", "联机验证"))
    page.steps(_to_try(facts))


def _to_agree(facts: Facts) -> list[Both]:
    lines = _ways_in(facts)
    names = {
        "master": Both("the master key, in two parts", "主密钥，分两段交接"),
        "mac": Both("the MAC key", "MAC 密钥"),
    }
    lines += [words for name, words in names.items() if name in facts.keys]
    numbers = ", ".join(map(code, facts.profile.numbers))
    lines.append(Both(f"which bank numbers you use: {numbers}", f"使用的银行编号：{numbers}"))
    lines.append(Both("test phones, and whom to call on either side", "测试号码及双方联系人"))
    return lines


def _ways_in(facts: Facts) -> list[Both]:
    """Name what opens the line: addresses, passwords, certificates."""
    where = facts.where
    if not facts.queued:
        lines = [
            Both(
                "our address and port; the addresses from which you connect",
                "我方地址和端口；贵方连接来源地址",
            )
        ]
    elif facts.engine == "files":
        lines = [Both("address and user of the file server", "文件服务器地址和用户")]
    elif facts.engine == "zeromq":
        lines = [Both("addresses of the queues", "队列地址")]
    else:
        lines = [
            Both(
                "addresses of the broker; your user's password; the name of your queue for answers",
                "中间件地址；贵方用户的口令；应答队列名称",
            )
        ]
    if where is not None and where.tls is not None:
        lines.append(
            Both(
                "the authority that signs our certificate, and your own certificate",
                "签发我方证书的 CA，以及贵方证书",
            )
            if where.tls.knows_peer
            else Both("the authority that signs our certificate", "签发我方证书的 CA")
        )
    return lines


def _to_try(facts: Facts) -> list[Both]:
    steps = []
    names = facts.profile.table.management
    if "sign_on" in names:
        more = (
            Both(" and take the key", "并取得密钥") if facts.profile.session.keys == "ours" else Both("", "")
        )
        steps.append(Both(f"Sign on{more.en}.", f"签到{more.zh}。"))
    if facts.profile.session.keys == "theirs":
        steps.append(Both("Deliver a key.", "下发密钥。"))
    if "echo" in names:
        steps.append(
            Both(
                "Exchange echoes in both directions."
                if facts.profile.session.echo_seconds
                else "Send an echo.",
                "双向线路测试。" if facts.profile.session.echo_seconds else "发送线路测试。",
            )
        )
    tried = {
        Kind.OWED: Both("Query what a phone owes.", "欠费查询。"),
        Kind.RECHARGE: Both(
            "Recharge a phone; send the same request again and hear the same answer.",
            "充值；再以相同内容重发，应得到相同应答。",
        ),
        Kind.PAY: Both(
            "Pay a listed bill; pay it once more under a new serial and hear that it is paid.",
            "缴纳所列账单；换新流水再缴，应答账单已缴。",
        ),
        Kind.STATUS: Both(
            "Query the status of a recharge, and of a serial that was never sent "
            f"({facts.code_of(Result.NOT_FOUND)}).",
            f"查询一笔充值的状态，再查询一个从未发送的流水（应答 {facts.code_of(Result.NOT_FOUND)}）。",
        ),
        Kind.REVERSAL: Both(
            "Reverse a recharge, twice; query its status afterwards.",
            "冲正一笔充值并重复冲正，随后查询其状态。",
        ),
        Kind.VOID: Both(
            "Cancel a recharge; spend another one by paying a bill, and hear that it cannot be cancelled "
            f"({facts.code_of(Result.SPENT) if facts.names_of(Kind.VOID) else ''}).",
            "撤销一笔充值；另一笔充值缴费用掉后再撤销，应答不能撤销"
            f"（{facts.code_of(Result.SPENT) if facts.names_of(Kind.VOID) else ''}）。",
        ),
        Kind.TOTALS: Both("Send the totals of the day.", "发送当日总额。"),
    }
    steps += [words for kind, words in tried.items() if facts.names_of(kind)]
    steps += CUTOVERS_TO_TRY if "cutover" in names and not facts.dated else []
    if facts.profile.mac is not None:
        code_of = facts.code_of(Result.BAD_MAC)
        steps.append(
            Both(
                f"Send a request with a wrong MAC and hear {code_of}.",
                f"发送 MAC 错误的请求，应答 {code_of}。",
            )
        )
    steps.append(
        Both(
            "Cut the connection between request and answer, and find out what became of the recharge."
            if not facts.queued
            else "Stop your program between request and answer, start it again, and find out what became of "
            "the recharge.",
            "在请求与应答之间断开连接，再查明该笔充值的结果。"
            if not facts.queued
            else "在请求与应答之间停止程序，重启后查明该笔充值的结果。",
        )
    )
    return steps


CUTOVERS_TO_TRY = [
    Both(
        "After 18:00, send a notice of cutover, send it again, and repeat a recharge from before it: it "
        "hears the same answer.",
        "18:00 之后发送日切通知并重复一次，再重发通知之前的一笔充值，应得到相同应答。",
    )
]


def glossary(page: Page, facts: Facts) -> None:
    """Write the words that this document uses in a sense of its own."""
    page.chapter(Both("Glossary", "术语"))
    words = [*WORDS]
    if facts.profile.mac is not None:
        words.append(
            (
                Both("MAC", "报文鉴别码"),
                Both("proves who made a message and that nobody changed it", "证明报文来源且未被篡改的代码"),
            )
        )
    if facts.names_of(Kind.VOID):
        words.append(VOID_WORDS)
    if facts.by_notice:
        words.append(CUTOVER_WORDS)
    if facts.exchanged:
        words += KEY_WORDS
    page.table((Both("word", "术语"), Both("meaning", "含义")), words)


WORDS = [
    (
        Both("fen", "分"),
        Both("1/100 yuan; amounts never have fractions of a fen", "百分之一元，金额不含分以下的零头"),
    ),
    (Both("serial", "流水号"), Both("your number of a request", "贵方为请求编的号码")),
    (
        Both("business date", "营业日期"),
        Both("the date under which a request is booked", "交易记账所属的日期"),
    ),
    (
        Both("original", "原交易"),
        Both("the recharge or payment that a query or reversal is about", "查询或冲正所针对的充值或缴费"),
    ),
    (
        Both("repeat", "重发"),
        Both("the same request once more, with the same serial and content", "流水号和内容都相同的再次发送"),
    ),
    (Both("reversal", "冲正"), Both("takes an original back", "撤回原交易")),
    (
        Both("late fee", "违约金"),
        Both("grows with every day that a bill is overdue", "账单逾期后逐日增加的费用"),
    ),
    (
        Both("work order", "充值工单"),
        Both(
            "our record of one recharge or payment, with our own number",
            "我方对一笔充值或缴费的记录，有我方编号",
        ),
    ),
    (
        Both("bank number", "银行编号"),
        Both("tells which product of yours a request belongs to", "标识请求属于贵方哪一种业务"),
    ),
]
VOID_WORDS = (
    Both("cancellation", "撤销"),
    Both("takes an approved original back whose money is unspent", "撤回已成功且款项未被使用的原交易"),
)
CUTOVER_WORDS = (Both("cutover", "日切"), Both("the change to the next business date", "营业日期的切换"))
KEY_WORDS = [
    (
        Both("working key", "工作密钥"),
        Both("the MAC key of the moment, changed by messages", "当前使用的 MAC 密钥，通过报文更换"),
    ),
    (
        Both("check value", "校验值"),
        Both(
            "shows that both sides have the same key without showing it",
            "在不暴露密钥的情况下核对双方密钥一致",
        ),
    ),
]
