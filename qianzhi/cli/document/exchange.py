"""The chapter on messages: what each is for, every field of question and answer, and how answers find
their question.
"""

from collections.abc import Iterator
from typing import NamedTuple

from frontends.mapping_rows import split_row
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.legend import legend
from qianzhi.cli.document.line_samples import OUR_ECHO, title_of
from qianzhi.cli.document.page import NOTHING, Both, Page, code, joined
from qianzhi.cli.document.rows import (
    Row,
    answer_rows,
    management_answer_rows,
    management_rows,
    request_rows,
)
from qianzhi.cli.document.samples import TITLES
from qianzhi.cli.document.settling import is_heard, leaves_free
from qianzhi.cli.document.tables import fields_table, once, others, shared, table
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

Lines = dict[str, list[tuple[Both, list[Row]]]]  # of each message about the line its tables, by title
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
        "Takes back an earlier recharge or payment as a whole, with the same message for both. Send it "
        "when you do not want the original "
        "to stand or cannot find out whether it does. If we never saw the original, it can never be "
        "carried out from then on. A repeated reversal hears what the first one heard.",
        "整笔撤回先前的充值或缴费，两者使用同一报文。不再需要原交易，或无法查明其结果时使用。若我方从未"
        "收到原交易，"
        "此后也不再受理该交易。重复冲正得到与首次相同的应答。",
    ),
    Kind.VOID: Both(
        "Cancels an approved recharge or payment as a whole, at the wish of an agent or customer. Unlike a "
        "reversal it is refused when the customer has spent the money since. Never use it because an answer "
        "is missing: that is what reversals are for.",
        "应代理人员或客户要求，整笔撤销已成功的充值或缴费。与冲正不同：款项已被使用的不予撤销。未收到应答时"
        "应使用冲正，不得使用撤销。",
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
        Result.UNKNOWN,
        Result.IN_PROCESS,
        Result.REVERSED,
        Result.NOT_FOUND,
        Result.BLOCKED,
        Result.NO_SUCH_PHONE,
        Result.PHONE_CLOSED,
        Result.BAD_AMOUNT,
        Result.AMOUNT_LIMIT,
        Result.NO_SUCH_BILL,
        Result.BILL_CHANGED,
        Result.BILL_PAID,
        Result.OVER_QUOTA,
        Result.BAD_DATE,
        Result.TOO_OLD,
        Result.QUARANTINED,
    ),
    Kind.REVERSAL: (
        Result.APPROVED,
        Result.NOT_FOUND,
        Result.ORIGINAL_REFUSED,
        Result.AMOUNT_DIFFERS,
        Result.DATE_CLOSED,
        Result.TOO_OLD,
    ),
    Kind.VOID: (
        Result.APPROVED,
        Result.SPENT,
        Result.NOT_FOUND,
        Result.ORIGINAL_REFUSED,
        Result.AMOUNT_DIFFERS,
        Result.DATE_CLOSED,
        Result.TOO_OLD,
    ),
    Kind.TOTALS: (Result.APPROVED, Result.TOTALS_DIFFER, Result.BAD_DATE, Result.TOO_OLD),
}


QUEUE_IDS = {
    "zeromq": Both("The queue's message id comes back as well.", "队列的消息号也会原样带回。"),
    "rabbitmq": Both(
        "The `message_id` of the request comes back as well, in the answer's `correlation_id`.",
        "请求的 `message_id` 也会带回，在应答的 `correlation_id` 中。",
    ),
    "ibmmq": Both(
        "The MsgId of the request comes back as well, in the answer's CorrelId.",
        "请求的 MsgId 也会带回，在应答的 CorrelId 中。",
    ),
    "files": Both("The line's number is the answer's.", "应答的行号与请求相同。"),
}


def messages(page: Page, facts: Facts) -> None:
    """Write the chapter."""
    page.chapter(Both("Messages", "报文"))
    legend(page, facts)
    _matching(page, facts)
    names = facts.profile.table.transactions
    asked = {name: request_rows(facts, name) for name in names}
    told = {name: answer_rows(facts, name) for name in names}
    line = {name: list(_line_rows(facts, name)) for name in facts.profile.table.management}
    common = Common(shared(facts, list(asked.values())), shared(facts, list(told.values())))
    everything = [*asked.values(), *told.values(), *(rows for parts in line.values() for _, rows in parts)]
    _shared(page, facts, common, [row for rows in everything for row in rows])
    for name in names:
        _transaction(
            page, facts, name, Common(others(asked[name], common.asked), others(told[name], common.told))
        )
    about = _shared_about_line(page, facts, line)
    for name, parts in line.items():
        own = [(title, others(rows, about.get(title, []))) for title, rows in parts]
        _management(page, facts, name, own)


def _shared_about_line(page: Page, facts: Facts, line: Lines) -> dict[Both, list[Row]]:
    """Write what the messages about the line share, by who sends them."""
    by_title: dict[Both, list[list[Row]]] = {}
    for parts in line.values():
        for title, rows in parts:
            by_title.setdefault(title, []).append(rows)
    common = {title: shared(facts, rows) for title, rows in by_title.items()}
    if any(common.values()):
        page.section(Both("What every message about the line has", "线路管理报文的共同字段"))
    for title, rows in common.items():
        if rows:
            page.point(title)
            table(page, facts, rows)
    return common


class Common(NamedTuple):
    """Rows of requests and rows of answers."""

    asked: list[Row]
    told: list[Row]


def _shared(page: Page, facts: Facts, common: Common, rows: list[Row]) -> None:
    """Write what is said once: the form of every field, and what all business messages have."""
    if once(facts):
        page.section(Both("All fields", "全部字段"))
        fields_table(page, facts, rows)
    page.section(Both("What every transaction has", "各业务交易的共同字段"))
    page.say(
        "These fields are in the request and in the answer of every transaction; the tables of the "
        "transactions "
        "show the others, and those of these that have another content there.",
        "以下字段每个业务交易的请求、应答都有；各交易的表只列其余字段，以及内容与此不同的字段。",
    )
    page.point(Both("Every request, from you", "每条请求（贵方发出）"))
    table(page, facts, common.asked)
    page.point(Both("Every answer, from us", "每条应答（我方发出）"))
    table(page, facts, common.told)


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
            "These fields must differ among the requests that wait for an answer at the same time. They "
            "only find "
            "the request; what makes a recharge the same one is said in 8.1.",
            "同时等待应答的请求之间，这些字段不得全部相同。它们只用于匹配；何为同一笔交易见第 8.1 节。",
        ),
        Both(
            "An answer that fits no open question is late or repeated: note it and do not act on it.",
            "与任何在途请求都不匹配的应答，是迟到或重复的应答，记录即可，不作处理。",
        ),
    ]
    if facts.queued and not facts.profile.table.management:
        lines.append(QUEUE_IDS[facts.engine])
    page.items(lines)


def _key_words(facts: Facts, row: str) -> Both:
    path, transform = split_row(row)
    name, _, argument = transform.partition(":")
    label = facts.label(path)
    if name == "head":
        return Both(f"{label} (first {argument} characters)", f"{label}（前 {argument} 位）")
    return Both(label, label)


def _transaction(page: Page, facts: Facts, name: str, own: Common) -> None:
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
    table(page, facts, own.asked)
    page.point(Both("Answer, from us", "应答（我方发出）"))
    table(page, facts, own.told)
    codes = ", ".join(
        dict.fromkeys(facts.code_of(result) for result in RESULTS[kind] if _has_code(facts, result))
    )
    page.say(
        f"Result codes: {codes}; besides these the general codes of chapter 9.",
        f"返回码：{codes}，以及第 9 章的通用码。",
    )
    if kind is Kind.STATUS:
        _what_status_says(page, facts)


def _what_status_says(page: Page, facts: Facts) -> None:
    blocked, missing = facts.code_of(Result.BLOCKED), facts.code_of(Result.NOT_FOUND)
    page.say(
        "Of an original that was looked at and refused you hear the code of then. One that was refused "
        "before "
        f"({_early(facts)}) had its serial blocked: {blocked}. One refused with another general code or "
        "for a past "
        f"or closed date, or whose serial could not be read, or that never came, is {missing}. In all "
        "these cases "
        "no money stands.",
        f"原交易经业务处理后被拒绝的，应答当时的返回码；处理之前被拒绝的（{_early(facts)}）流水已封锁，"
        f"应答 {blocked}；"
        f"以其他通用码或因过期、已关账日期被拒绝的，流水无法读取的，以及从未收到的，应答 {missing}。以上"
        "情形均未入账。",
    )


def _early(facts: Facts) -> str:
    """Return the codes that block a serial before they are told."""
    early = [Result.FORMAT, Result.AMOUNT_LIMIT, Result.NO_ROUTE, Result.CLOSED_HOURS, Result.UNAVAILABLE]
    found = [one for one in early if not leaves_free(facts, one)]
    return ", ".join(dict.fromkeys(map(facts.code_of, found)))


def _has_code(facts: Facts, result: Result) -> bool:
    return result.name.lower() in facts.profile.table.results.codes and is_heard(facts, result)


def _line_rows(facts: Facts, name: str) -> Iterator[tuple[Both, list[Row]]]:
    """Yield the tables of a message about the line, each with its title."""
    for shown in (name, OUR_ECHO) if name == "echo" else (name,):
        request, answer = facts.sample(shown, "request"), facts.sample(shown, "answer")
        if request is None:
            continue
        yield REQUESTS[request.ours], management_rows(facts, name, request)
        if answer is not None:
            yield ANSWERS[answer.ours], management_answer_rows(facts, answer)


def _management(page: Page, facts: Facts, name: str, parts: list[tuple[Both, list[Row]]]) -> None:
    rows = facts.profile.table.management[name]
    page.section(joined([title_of(name), code(name)], " ", " "))
    words = _line_purpose(facts, name)
    if words.en:
        page.say(words.en, words.zh)
    when = facts.when(rows.when)
    page.say(f"It is told by {when.en}.", f"识别条件：{when.zh}。")
    for title, fields in parts:
        page.point(title)
        table(page, facts, fields)


def _line_purpose(facts: Facts, name: str) -> Both:
    """Say what a message about the line is for, and what refusing it means."""
    words = LINE_PURPOSES.get(name, NOTHING)
    if name == "echo" and not facts.profile.session.echo_seconds:
        words = Both(
            "Shows that the line is alive; you may send it, we answer.",
            "检测线路是否正常，由贵方发起，我方应答。",
        )
    if name == "cutover" and not facts.dated:
        return _cutover_purpose(facts)
    if name not in ("sign_on", "key_request"):
        return words
    refused = f"{facts.code_of(Result.FORMAT)}, {facts.code_of(Result.BUSY)}"
    rules = facts.profile.session
    keyed = rules.keys == "ours" and rules.delivery == "answer"
    without = Both(" and brings no key", "，且不带密钥") if keyed else NOTHING
    return Both(
        f"{words.en} A refusal ({refused}) changes nothing{without.en}: mend the message or try again "
        "after some seconds.",
        f"{words.zh}拒绝应答（{refused}）不改变任何状态{without.zh}：修正报文或数秒后再试。",
    )


def _cutover_purpose(facts: Facts) -> Both:
    bad = facts.code_of(Result.BAD_DATE)
    return Both(
        "Tells the business date that begins: what we receive after our approval is booked under it. Send "
        "it every day from 18:00 of the evening before to 00:20. The same notice again changes nothing; one "
        f"that goes back, or is for more than the next day, or for it before 18:00, hears {bad} and changes "
        "nothing. Where none has come by 00:20, the calendar date holds from then on.",
        "告知新的营业日期：我方应答成功之后收到的交易记入该日。每日须在前一日 18:00 至当日 00:20 之间发送。"
        "重复通知不产生影响；日期倒退、超出次日，或在 18:00 之前通知次日的，应答 "
        f"{bad}，不作变更。至 00:20 仍未收到通知的，此后以日历日期为准。",
    )


LINE_PURPOSES = {
    "cutover_begin": Both(
        "Tells that your cutover has begun; the business date changes with the notice that follows.",
        "告知贵方日切开始；营业日期以随后的日切通知为准。",
    ),
    "cutover": Both(
        "Tells the settlement date that begins, which we note. Messages keep the dates that they bring. "
        "Send it every day from 18:00 of the evening before to 00:20; the same notice again changes nothing.",
        "告知新的清算日期，我方予以记录；报文仍以其自带日期为准。每日须在前一日 18:00 至当日 00:20 之间发送，"
        "重复通知不产生影响。",
    ),
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
