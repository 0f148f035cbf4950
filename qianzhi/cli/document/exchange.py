"""The chapter on messages: what each is for, every field of question and answer, and how answers find
their question.
"""

from collections.abc import Iterable, Sequence

from frontends.mapping_rows import split_row
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.line_samples import OUR_ECHO, title_of
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.rows import (
    Row,
    answer_rows,
    management_answer_rows,
    management_rows,
    request_rows,
)
from qianzhi.cli.document.samples import TITLES
from qianzhi.cli.document.words import format_words, length_words
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

PURPOSES = {
    Kind.OWED: Both(
        "Asks what a phone owes, month by month. It moves no money and may be asked again at any time.",
        "查询号码各账期的欠费。不涉及资金，可随时重查。",
    ),
    Kind.RECHARGE: Both(
        "Puts money on a phone's account. Send it once the customer's money is secured on your side.",
        "向号码账户充值。应在贵方已确认收到客户资金后发送。",
    ),
    Kind.PAY: Both(
        "Pays one bill that the query of what is owed has listed: quote its serial, and the exact sum of "
        "principal and late fee as amount. A late fee grows with the days: ask again before paying on "
        "another day.",
        "缴纳欠费查询所列的一笔账单：引用账单流水，金额须等于欠费与违约金之和。违约金逐日变化，"
        "隔日缴费应重新查询。",
    ),
    Kind.STATUS: Both(
        "Asks what became of an earlier recharge or payment. Send it whenever you have no answer, or one "
        "that says the outcome is not known. Asking settles: if we never saw the original, we answer "
        "that it does not exist, and from then on it can never be carried out, even if it should still "
        "arrive.",
        "查询先前充值或缴费的结果。未收到应答或结果未知时使用。查询即定局：若我方从未收到原交易，"
        "应答“原交易不存在”，此后原交易即使到达也不再受理。",
    ),
    Kind.REVERSAL: Both(
        "Takes back an earlier recharge or payment as a whole. Send it when you do not want the original "
        "to stand or cannot find out whether it does. If we never saw the original, it can never be "
        "carried out from then on. A repeated reversal hears what the first one heard.",
        "整笔撤回先前的充值或缴费。不再需要原交易，或无法查明其结果时使用。若我方从未收到原交易，"
        "此后也不再受理该交易。重复冲正得到与首次相同的应答。",
    ),
    Kind.TOTALS: Both(
        "Compares the totals of one business date: number and sum of the approved recharges and payments "
        "(reversed ones included), and of the reversals among them. We answer equal or different, with "
        "our own figures either way.",
        "核对一个营业日的总额：成功充值缴费的笔数和金额（含后来冲正的），以及其中冲正的笔数和金额。"
        "我方应答相符或不符，并附我方数字。",
    ),
}
RESULTS = {
    Kind.OWED: (Result.APPROVED, Result.NOTHING_OWED, Result.NO_SUCH_PHONE, Result.PHONE_CLOSED),
    Kind.RECHARGE: (
        Result.APPROVED,
        Result.NO_SUCH_PHONE,
        Result.PHONE_CLOSED,
        Result.BAD_AMOUNT,
        Result.AMOUNT_LIMIT,
        Result.OVER_QUOTA,
        Result.DUPLICATE_SERIAL,
        Result.REVERSED,
        Result.BLOCKED,
        Result.BAD_DATE,
        Result.DATE_CLOSED,
        Result.TOO_OLD,
    ),
    Kind.PAY: (
        Result.APPROVED,
        Result.NO_SUCH_BILL,
        Result.BILL_CHANGED,
        Result.BILL_PAID,
        Result.NO_SUCH_PHONE,
        Result.PHONE_CLOSED,
        Result.BAD_AMOUNT,
        Result.AMOUNT_LIMIT,
        Result.DUPLICATE_SERIAL,
        Result.REVERSED,
        Result.BLOCKED,
        Result.BAD_DATE,
        Result.DATE_CLOSED,
        Result.TOO_OLD,
    ),
    Kind.STATUS: (
        Result.APPROVED,
        Result.IN_PROCESS,
        Result.REVERSED,
        Result.NOT_FOUND,
        Result.BLOCKED,
        Result.TOO_OLD,
    ),
    Kind.REVERSAL: (
        Result.APPROVED,
        Result.NOT_FOUND,
        Result.ORIGINAL_REFUSED,
        Result.AMOUNT_DIFFERS,
        Result.DATE_CLOSED,
        Result.TOO_OLD,
    ),
    Kind.TOTALS: (Result.APPROVED, Result.TOTALS_DIFFER, Result.BAD_DATE, Result.TOO_OLD),
}


def messages(page: Page, facts: Facts) -> None:
    """Write the chapter."""
    page.chapter(Both("Messages", "报文"))
    _legend(page)
    _matching(page, facts)
    for name in facts.profile.table.transactions:
        _transaction(page, facts, name)
    for name in facts.profile.table.management:
        _management(page, facts, name)


def _legend(page: Page) -> None:
    page.section(Both("How to read the tables", "表格说明"))
    page.table(
        (Both("in requests", "请求"), Both("meaning", "含义")),
        [
            (
                "M",
                Both(
                    "mandatory: without it the message is refused, or is not this message",
                    "必填：缺少则拒绝或不成为该交易",
                ),
            ),
            ("K", Both("write it as given; we do not check it", "按规定填写，我方不校验")),
            ("O", Both("optional", "可选")),
            ("–", Both("not used: leave it blank or out", "不用：留空或不填")),
        ],
    )
    page.table(
        (Both("in answers", "应答"), Both("meaning", "含义")),
        [
            ("A", Both("always", "总有")),
            ("E", Both("echo: there when the request had it", "回送：请求中有则有")),
            ("P", Both("with an approval only", "仅成功时有")),
            ("W", Both("when there is something to write", "有内容时才有")),
        ],
    )
    page.say(
        "With a refusal, fields marked P have no value: they are absent, or blank where their place is "
        "fixed. All times are Beijing time. Fields that no table names may be left out. In answers, "
        "ignore fields that you do not know.",
        "拒绝应答中，标 P 的字段无值：不出现，位置固定的则为空。时间均为北京时间。"
        "表中未列的字段不必填写。应答中出现不认识的字段时忽略即可。",
    )


def _matching(page: Page, facts: Facts) -> None:
    match = facts.profile.table.match
    page.section(Both("Questions and answers", "请求与应答的匹配"))
    keys = joined([_key_words(facts, row) for row in match.keys])
    lines = [
        joined(
            [Both("A message is an answer when ", "应答的标志："), facts.when(match.answer), Both(".", "。")],
            "",
            "",
        ),
        Both(
            f"An answer belongs to the request that has the same {keys.en}.",
            f"应答与请求的 {keys.zh} 全部相同，据此匹配。",
        ),
        Both(
            "An answer that fits no open question is late or repeated: note it and do not act on it.",
            "与任何在途请求都不匹配的应答，是迟到或重复的应答，记录即可，不作处理。",
        ),
    ]
    if facts.queued and not facts.profile.table.management:
        lines.append(
            Both("The queue's message id comes back as well.", "队列的消息号也会原样带回。"),
        )
    page.items(lines)


def _key_words(facts: Facts, row: str) -> Both:
    path, transform = split_row(row)
    name, _, argument = transform.partition(":")
    label = facts.label(path)
    if name == "head":
        return Both(f"{label} (first {argument} characters)", f"{label}（前 {argument} 位）")
    return Both(label, label)


def _transaction(page: Page, facts: Facts, name: str) -> None:
    rows = facts.profile.table.transactions[name]
    kind = Kind[rows.kind.upper()]
    page.section(joined([TITLES[kind], code(name)], " ", " "))
    page.say(PURPOSES[kind].en, PURPOSES[kind].zh)
    when = facts.when(rows.when)
    page.say(f"It is told by {when.en}.", f"识别条件：{when.zh}。")
    if rows.numbers:
        numbers = ", ".join(map(code, rows.numbers))
        page.say(f"It is for bank number {numbers}.", f"适用银行编号 {numbers}。")
    page.point(Both("Request, from you", "请求（贵方发出）"))
    table(page, facts, request_rows(facts, name))
    page.point(Both("Answer, from us", "应答（我方发出）"))
    table(page, facts, answer_rows(facts, name))
    codes = dict.fromkeys(f"{facts.code_of(result)}" for result in RESULTS[kind] if _has_code(facts, result))
    listed = ", ".join(codes)
    page.say(
        f"Result codes to expect: {listed}; besides these, the general refusals of the table of result "
        "codes.",
        f"可能的返回码：{listed}；此外还有返回码表所列的通用拒绝码。",
    )
    if kind is Kind.STATUS:
        page.say(
            "When the original was refused, the answer says the code with which it was refused.",
            "原交易曾被拒绝的，应答为当时的拒绝码。",
        )


def _has_code(facts: Facts, result: Result) -> bool:
    return result.name.lower() in facts.profile.table.results.codes


def _management(page: Page, facts: Facts, name: str) -> None:
    rows = facts.profile.table.management[name]
    page.section(joined([title_of(name), code(name)], " ", " "))
    if name in LINE_PURPOSES:
        page.say(LINE_PURPOSES[name].en, LINE_PURPOSES[name].zh)
    when = facts.when(rows.when)
    page.say(f"It is told by {when.en}.", f"识别条件：{when.zh}。")
    for shown in (name, OUR_ECHO) if name == "echo" else (name,):
        request, answer = facts.sample(shown, "request"), facts.sample(shown, "answer")
        if request is None:
            continue
        page.point(REQUESTS[request.ours])
        table(page, facts, management_rows(facts, name, request))
        if answer is not None:
            page.point(ANSWERS[answer.ours])
            table(page, facts, management_answer_rows(facts, answer))


LINE_PURPOSES = {
    "sign_on": Both("Opens the line for business.", "开通线路业务。"),
    "sign_off": Both(
        "Closes the line for business: requests after it are refused until the next sign-on.",
        "关闭线路业务，此后的请求在下次签到前一律拒绝。",
    ),
    "echo": Both("Shows that the line is alive; answer it at once.", "检测线路是否正常，收到后立即应答。"),
    "key_request": Both("Asks for a new working key.", "申请新的工作密钥。"),
    "key_delivery": Both(
        "Brings a new working key, wrapped under the master key.", "下发以主密钥加密的新工作密钥。"
    ),
}
REQUESTS = {False: Both("Sent by you", "贵方发出"), True: Both("Sent by us", "我方发出")}
ANSWERS = {False: Both("Answered by you", "贵方应答"), True: Both("Answered by us", "我方应答")}


def table(page: Page, facts: Facts, rows: Iterable[Row]) -> None:
    """Write the table of a message's fields."""
    rows = list(rows)
    placed = any(row.field.offset is not None for row in rows) and facts.spec.kind == "fixed"
    heads = [
        Both("field", "字段"),
        Both("name", "名称"),
        Both("format", "格式"),
        Both("length", "长度"),
        Both("use", "要求"),
        Both("content", "内容"),
    ]
    cells: list[Sequence[Text]] = []
    for row in rows:
        field = row.field
        offset = "" if field.offset is None else str(field.offset)
        indent = "\u2003" * (
            field.label.count(".") - (1 if field.path.startswith(("header.", "body.")) else 0)
        )
        line: list[Text] = [
            indent + code(field.label),
            field.title,
            format_words(field.form) if field.form else _holder(row),
            length_words(field.form),
            row.presence,
            row.content,
        ]
        cells.append([offset, *line] if placed else line)
    page.table([Both("offset", "偏移"), *heads] if placed else heads, cells)


def _holder(row: Row) -> Both:
    if row.field.entries_max:
        return Both("list", "列表")
    return NOTHING if row.field.layout == "case" else Both("holds others", "包含下级")
