"""The chapters of result codes, and of bills, limits and hours."""

from collections.abc import Sequence

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.results import LISTENERS, MEANINGS, VERDICTS, VERDICTS_LONG, advice
from qianzhi.cli.document.settling import (
    Listener,
    codes_of,
    is_general,
    leaves_free,
    listeners,
    verdict,
)
from qianzhi.cli.document.words import BILL_COLUMNS, transform_words
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result


def codes(page: Page, facts: Facts) -> None:
    """Write the chapter of result codes, one row for each code."""
    page.chapter(Both("Result codes", "返回码"))
    heard = listeners(facts)
    _verdicts(page, facts, heard)
    page.section(Both("The codes", "返回码表"))
    texts = facts.profile.results.texts
    rows: list[Sequence[Text]] = []
    for value, meant in codes_of(facts).items():
        said = [texts[one.name.lower()] for one in meant if one.name.lower() in texts]
        cells: list[Text] = [
            code(value),
            joined([MEANINGS[one] for one in meant], "; or ", "；或"),
            *(VERDICTS[verdict(facts, meant, one)] for one in heard),
            joined(dict.fromkeys(_advice(facts, one) for one in meant), " ", ""),
        ]
        rows.append([*cells, code(" / ".join(said))] if texts else cells)
    heads = [Both("code", "返回码"), Both("meaning", "含义"), *(LISTENERS[one] for one in heard)]
    heads += [Both("what to do besides", "其他处理"), Both("text", "文字")]
    page.table(heads[: len(rows[0])], rows)
    if texts:
        page.say("Texts are given in Chinese, for people; they may change.", "文字说明仅供阅读，可能调整。")
    _general(page, facts)


def _advice(facts: Facts, result: Result) -> Both:
    return advice(result, free=leaves_free(facts, result), exchanged=facts.exchanged)


def _verdicts(page: Page, facts: Facts, heard: Sequence[Listener]) -> None:
    """Say how the table is read: who hears a code decides what it settles."""
    again = (
        Both(
            "; the same bytes once more under the same message id count", "；以相同消息号再发相同字节也算重发"
        )
        if facts.queued and facts.engine != "files"
        else NOTHING
    )
    page.say(
        f"The code stands in {facts.label(facts.profile.table.reply.result)} of every answer. What it "
        "settles "
        "depends on what heard it. *Sent once*: a recharge or payment that was sent a single time, whose "
        "serial was neither repeated nor queried nor reversed before this answer. *Repeat*: the same once "
        f"more, whether you sent the first copy or only may have{again.en}. *Status query* and "
        "*reversal*: what the "
        "answer says of the original. The words in these columns:",
        f"返回码在每条应答的 {facts.label(facts.profile.table.reply.result)} 中，其结论取决于由哪种报文得到。"
        "*仅发一次*：充值或缴费只发送过一次，且得到本应答之前该流水未重发、未查询、未冲正。"
        f"*重发*：同一笔再次发送，不论首次是确已发出还是可能发出{again.zh}。*状态查询*、*冲正*：应答对原"
        "交易的结论。"
        "各栏用语：",
    )
    page.table(
        (Both("word", "用语"), Both("what is true, and what you do", "结论与处理")),
        [(VERDICTS[word], VERDICTS_LONG[word]) for word in VERDICTS],
    )
    page.say(
        "A code that is not in the table is *open*, and so is an answer whose MAC is wrong. Queries of "
        "what is "
        "owed and totals settle nothing: whatever they hear, no money moved by them.",
        "表中没有的返回码、MAC 错误的应答，一律为*未定*。欠费查询和总额核对不涉及资金结论：无论应答什么，"
        "都不因它们而入账。",
    )


def _general(page: Page, facts: Facts) -> None:
    """Name the codes that can never be an original's result, and say what follows from that."""
    general = ", ".join(code(value) for value, meant in codes_of(facts).items() if is_general(meant))
    page.say(
        f"**General codes** are {general}. They speak of the message that hears them and of nothing "
        "else, and "
        "are never the stored result of an original. A repeat, status query or reversal that hears one has "
        "learnt nothing about the original: mend what is wrong and send it again.",
        f"**通用码**为 {general}。它们只说明得到它的那条报文本身，绝不会是原交易的结果。重发、查询或冲正得到"
        "通用码时，对原交易一无所知：纠正问题后再发。",
    )
    if facts.queued:
        page.say(
            "When we are overloaded we do not refuse: your messages wait where they lie.",
            "我方过载时不拒绝请求，报文在原处等待。",
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
            "left over is listed once these are paid. The total is that of all open bills with their late "
            "fees, listed or not, and of what the account itself is in arrears; it may be there without "
            f"any bill. When nothing is owed the answer is {facts.code_of(Result.NOTHING_OWED)}. A bill "
            "is paid "
            "whole: the amount of the payment is principal plus late fee, and the bill's serial is quoted.",
            f"欠费查询成功应答在 {facts.label(bills.path)} 中列出未缴账单，每账期一笔，旧账在前，最多 "
            f"{bills.max} 笔；其余账单待所列账单缴清后再列出。总额为全部未缴账单（含未列出的）连同违约金，"
            "再加账户本身的欠款，可能有总额而无账单。没有欠费时应答 "
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
                facts.code_of(Result.UNKNOWN) or Both("silence", "不作应答"),
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
        return Both("messages wait where they lie", "报文在原处等待")
    busy = facts.code_of(Result.BUSY)
    return Both(busy, busy)
