"""The chapters of result codes, and of bills, limits and hours."""

from collections.abc import Sequence

from frontends.profile import UNPROVED
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, Text, code, joined
from qianzhi.cli.document.results import ADVICE, MEANINGS, Advice
from qianzhi.cli.document.words import BILL_COLUMNS, transform_words
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

OPEN = frozenset({Result.UNKNOWN, Result.IN_PROCESS})


def codes(page: Page, facts: Facts) -> None:
    """Write the chapter of result codes, one row for each code."""
    page.chapter(Both("Result codes", "返回码"))
    results = facts.profile.table.results
    page.say(
        f"The code stands in {facts.label(facts.profile.table.reply.result)} of every answer. *Final*: "
        "it is settled and does not change. *Open*: nothing may be concluded. *This message*: this "
        "message was not carried out, but an earlier one with the same serial may have been; send it "
        "again, or ask.",
        f"返回码在每条应答的 {facts.label(facts.profile.table.reply.result)} 中。*终态*：已有定论，"
        "不再改变。*未定*：不得据此下结论。*本条*：本条报文未受理，但先前同一流水的报文可能已处理，"
        "应重发或查询。",
    )
    grouped: dict[str, list[Result]] = {}
    for name, value in results.codes.items():
        result = Result[name.upper()]
        silent = result is Result.UNKNOWN and facts.profile.results.silent_on_unknown
        if not silent and (result is not Result.TOTALS_DIFFER or facts.names_of(Kind.TOTALS)):
            grouped.setdefault(value, []).append(result)
    texts = facts.profile.results.texts
    rows: list[Sequence[Text]] = []
    for value, meant in grouped.items():
        said = [texts[one.name.lower()] for one in meant if one.name.lower() in texts]
        cells: list[Text] = [
            code(value),
            joined([MEANINGS[one] for one in meant], "; or ", "；或"),
            _final(facts, value, meant),
            _again(facts, value, meant),
            joined(dict.fromkeys(ADVICE[_kind_of(facts, value, meant, one)] for one in meant), " ", ""),
        ]
        rows.append([*cells, code(" / ".join(said))] if texts else cells)
    heads = [
        ("code", "返回码"),
        ("meaning", "含义"),
        ("state", "状态"),
        ("same serial again", "可否重发原流水"),
        ("what to do", "处理"),
    ]
    page.table([Both(*head) for head in [*heads, ("text", "文字")][: len(rows[0])]], rows)
    page.say(_again_words(facts).en, _again_words(facts).zh)
    page.say(
        "A refusal of a status query or reversal itself (its form, its MAC, a busy platform) says "
        "nothing about its original.",
        "对状态查询或冲正报文本身的拒绝（格式、MAC、系统忙等）不说明原交易的结果。",
    )
    if texts:
        page.say("Texts are given in Chinese, for people; they may change.", "文字说明仅供阅读，可能调整。")


def _kind_of(facts: Facts, value: str, meant: list[Result], result: Result) -> Advice:
    kind = ADVICE_OF.get(result, "refused")
    waiting = kind in ("later", "hours")
    return "anew" if waiting and not _invites(facts, value, meant) else kind


ADVICE_OF: dict[Result, Advice] = {
    Result.APPROVED: "done",
    Result.UNKNOWN: "open",
    Result.NOTHING_OWED: "tell",
    Result.DATE_CLOSED: "closed",
    Result.TOO_OLD: "closed",
    Result.IN_PROCESS: "wait",
    Result.BILL_CHANGED: "ask_bill",
    Result.BILL_PAID: "ask_bill",
    Result.NO_SUCH_BILL: "ask_bill",
    Result.DUPLICATE_SERIAL: "look",
    Result.AMOUNT_DIFFERS: "look",
    Result.FORMAT: "mend",
    Result.UNSUPPORTED: "mend",
    Result.BAD_MAC: "keys",
    Result.NOT_SIGNED_ON: "sign_on",
    Result.BUSY: "later",
    Result.UNAVAILABLE: "later",
    Result.NO_ROUTE: "later",
    Result.CLOSED_HOURS: "hours",
    Result.TOTALS_DIFFER: "totals",
    Result.QUARANTINED: "call",
}


def _final(facts: Facts, value: str, meant: list[Result]) -> Both:
    if OPEN & set(meant):
        return Both("open", "未定")
    if _invites(facts, value, meant) or Result.UNSUPPORTED in meant:
        return Both("this message", "本条")
    return Both("final", "终态")


def _invites(facts: Facts, value: str, meant: list[Result]) -> bool:
    """Tell whether the same serial can still be approved after this code."""
    return value in facts.profile.results.repeat_codes and (not facts.queued or set(meant) <= UNPROVED)


def _again(facts: Facts, value: str, meant: list[Result]) -> Both:
    if OPEN & set(meant) or _invites(facts, value, meant):
        return Both("yes", "可以")
    return Both("no", "否")


def _again_words(facts: Facts) -> Both:
    if facts.queued:
        return Both(
            "*Same serial again: no* means that the serial is used up: a repeat hears the same refusal, "
            "or that the serial is blocked, and never an approval; take a new serial for a new try. When "
            "we are overloaded we do not refuse: your messages wait in the queue.",
            "*不可重发*表示该流水已作废：重发得到同样的拒绝或“已封锁”，不会再成功；重试须换新流水。"
            "我方过载时不拒绝请求，报文在队列中等待。",
        )
    return Both(
        "*Same serial again: yes* means that the very same serial may still be approved. *No* means that "
        "the serial is used up: a repeat hears the same refusal, or that the serial is blocked, and "
        "never an approval; take a new serial for a new try.",
        "*可以重发*表示同一流水仍可成功。*不可*表示该流水已作废：重发得到同样的拒绝或“已封锁”，"
        "不会再成功；重试须换新流水。",
    )


def limits(page: Page, facts: Facts) -> None:
    """Write the chapter on bills, amounts, rates and hours."""
    page.chapter(Both("Bills, limits and hours", "账单、限额与时间"))
    bills, own = facts.profile.table.bills, facts.profile.limits
    if bills is not None and facts.names_of(Kind.OWED):
        page.section(Both("Bills", "账单"))
        page.say(
            "An approved answer to the query of what is owed lists the open bills in "
            f"{facts.label(bills.path)}, one for each month, oldest first, at most {bills.max}; what is "
            "left over is listed once these are paid. Without any bill the answer is "
            f"{facts.code_of(Result.NOTHING_OWED)}. A bill is paid whole: the amount of the payment is "
            "principal plus late fee, and the bill's serial is quoted.",
            f"欠费查询成功应答在 {facts.label(bills.path)} 中列出未缴账单，每账期一笔，旧账在前，最多 "
            f"{bills.max} 笔；其余账单待所列账单缴清后再列出。没有欠费时应答 "
            f"{facts.code_of(Result.NOTHING_OWED)}。账单须整笔缴清：缴费金额等于欠费加违约金，"
            "并引用账单流水。",
        )
        rows: list[Sequence[Text]] = []
        for column, text in bills.columns.items():
            source, _, transform = text.partition("|")
            words = joined([BILL_COLUMNS[source], transform_words(transform)], "; ", "；")
            rows.append((facts.label(f"{bills.path}.{column}"), words))
        page.table((Both("column", "列"), Both("content", "内容")), rows)
    page.section(Both("Limits", "限额"))
    amount = f"{own.amount_fen_max // 100:,}.{own.amount_fen_max % 100:02d}"
    hours = facts.profile.hours
    page.table(
        (Both("limit", "项目"), Both("value", "限值"), Both("beyond it", "超出时")),
        [
            (
                Both("amount of one recharge or payment, yuan", "单笔金额，元"),
                amount,
                facts.code_of(Result.AMOUNT_LIMIT),
            ),
            (Both("requests under way at once", "同时在途请求"), str(own.in_flight), _beyond(facts)),
            (Both("requests a second", "每秒请求数"), str(own.rate_per_second), _beyond(facts)),
            (
                Both("our time to answer, seconds", "应答时限，秒"),
                f"{own.reply_seconds:g}",
                Both("see above", "见上文"),
            ),
            (
                Both("length of a message, bytes", "报文长度，字节"),
                str(facts.profile.frame.frame_bytes_max),
                Both("not answered", "不予应答"),
            ),
            (
                Both("hours of service, Beijing time", "服务时间（北京时间）"),
                _hours(hours.open, hours.close),
                facts.code_of(Result.CLOSED_HOURS),
            ),
        ],
    )


def _hours(first: str, last: str) -> Both:
    if (first, last) == ("00:00", "24:00"):
        return Both("round the clock", "全天")
    return Both(f"{first} to {last}", f"{first} 至 {last}")


def _beyond(facts: Facts) -> Both:
    if facts.queued:
        return Both("messages wait in the queue", "报文在队列中等待")
    busy = facts.code_of(Result.BUSY)
    return Both(busy, busy)
