"""The document's chapters for a network of which we ask for money: what we send, when, and what answers mean.

There we are the client of the business and it is the server, whoever has dialled; the chapters on the line
are those of every document.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontends.mapping_rows import split_row, values_of
from frontends.outward_mapping import NOT_OVER, OutwardMapping
from frontends.outward_tables import OutwardTable, OutwardTransactionTable
from frontends.results import OPEN_RESULTS
from qianzhi.cli.document.page import Both, Page, Text, code, joined
from qianzhi.cli.document.samples import House, find
from qianzhi.cli.document.words import transform_words
from qianzhi.cli.sample_requests import AMOUNT_FEN, NOW, PHONE, TODAY, serial_of
from qianzhi.domain.requests import Kind, Reply, Request
from qianzhi.domain.results import Result

if TYPE_CHECKING:
    from frontends.profile import Profile
    from qianzhi.cli.document.facts import Facts

MINUTE_US = 60_000_000
SERIAL, OWN = 701, 801  # of the charge, and of messages about it
ORDER = "202611220001"

TITLES = {
    "charge": Both("Charge", "扣款"),
    "charge_reversal": Both("Reversal of a charge", "扣款冲正"),
    "charge_refund": Both("Refund of a charge", "扣款退款"),
    "advice": Both("Completion of a charge", "扣款完成通知"),
}
PURPOSES = {
    "charge": Both(
        "We ask for a customer's money, under the customer's mandate. A repeat under the same serial and "
        "time is the same charge: answer it as before and take the money once.",
        "我方按客户的代收协议请求扣款。同一流水号和时间的重发为同一笔：按首次结果应答，只扣一次。",
    ),
    "charge_reversal": Both(
        "The charge that it names is not to stand. Answer a repeat as the first one. Of a charge that you "
        "never saw, answer that it was not found, and refuse it should it still arrive.",
        "所指扣款不应成立。重复冲正按首次结果应答；从未收到的扣款，应答“原交易不存在”，此后到达也应拒绝。",
    ),
    "charge_refund": Both(
        "The charge was taken, and we could not credit it: give the money back, once.",
        "扣款已成功而我方未能入账：请退回该款，且只退一次。",
    ),
    "advice": Both(
        "The charge has been credited: take the money that was put aside. What no completion follows is free "
        "again after your own time.",
        "扣款已入账：请将冻结金额扣收。未收到完成通知的冻结，到期由贵方解冻。",
    ),
}
POLICIES = {
    "on_timeout": Both(
        "A charge that is not answered in time is reversed at once, and the reversal is repeated until it is "
        "answered. An answer that comes later changes nothing.",
        "未在时限内应答的扣款，我方立即冲正，并重发至收到应答；此后到达的应答不改变结果。",
    ),
    "on_late_approval": Both(
        "A charge that is not answered in time is not reversed for that. When an approval comes after all, "
        "it is reversed then; when none comes, there is nothing to reverse.",
        "未在时限内应答的扣款不因此冲正；此后若收到批准，即予冲正；始终未收到的，无需冲正。",
    ),
    "none": Both(
        "There is no reversal. A charge that is not answered is settled by people, with the day's accounts.",
        "没有冲正。未应答的扣款凭当日对账由双方人员处理。",
    ),
}
FIELDS = {
    "serial": Both("serial of the charge", "扣款流水号"),
    "date": Both("date of the charge", "扣款日期"),
    "own_serial": Both("serial of this message", "本报文流水号"),
    "phone": Both("customer's number", "用户号码"),
    "amount_fen": Both("amount", "金额"),
    "stamp_us": Both("time of the charge", "扣款时间"),
    "reason": Both("reason", "原因"),
    "bank_number": Both("our number with you", "我方编号"),
    "repeat": Both("1 when sent again", "重发时为 1"),
    "bill": Both("mandate", "代收协议"),
}
REASONS = {
    "timeout": Both("no answer in time", "未在时限内应答"),
    "late": Both("approved too late", "批准到达过迟"),
    "bad_mac": Both("an answer with a wrong MAC", "应答的 MAC 错误"),
    "refused": Both("could not be credited", "未能入账"),
    "house": Both("our own trouble", "我方原因"),
}


def purpose_of_network(page: Page, facts: "Facts") -> None:
    """Say what the document and the line are for."""
    page.title(Both(f"{facts.title.en}: interface for charges", f"{facts.title.zh}：扣款接口说明"))
    page.chapter(Both("What this is", "概述"))
    page.say(
        "This document describes how the recharge platform (*we*) asks a payment network (*you*) for a "
        "customer's money, and takes back what must not stand. You open the connection; we begin every "
        "business message on it, and you answer.",
        "本文说明充值平台（*我方*）如何向支付网络（*贵方*）请求扣收客户资金，以及如何撤回不应成立的扣款。"
        "连接由贵方建立；业务报文均由我方发起，由贵方应答。",
    )
    text = facts.profile.pattern if page.language == "en" else facts.profile.table.pattern_zh
    page.say(text.strip(), text.strip())


def line_of_network(page: Page, facts: "Facts") -> None:
    """Say how the line stands and how it is tested."""
    profile = facts.profile
    page.chapter(Both("Transport", "传输"))
    rules = [
        Both(
            "**Address.** TCP, long connections in both directions. You dial us; our address and port are "
            "agreed for each site. Only addresses that were named to us may connect.",
            "**地址。** TCP 长连接，全双工，由贵方建立；我方地址和端口按部署另行约定，"
            "仅允许事先报备的地址接入。",
        ),
        Both(
            "**Losing a connection.** Dial again. What you could not answer may be answered on the next "
            "connection, as long as somebody may wait for it; we know an answer by its fields, not by its "
            "connection.",
            "**断线。** 请重新建立连接。未能送出的应答可在新连接上补发；我方按报文域匹配应答，与连接无关。",
        ),
    ]
    if profile.session.echo_seconds:
        rules.append(
            Both(
                f"**A quiet line.** After {profile.session.echo_seconds} s of silence from you we send an "
                f"echo. Answer within {profile.session.answer_seconds} s; after "
                f"{profile.session.echo_misses_max} echoes without any sign of life we close the connection.",
                f"**静默。** {profile.session.echo_seconds} 秒未收到贵方任何数据时我方发送回响测试，请在 "
                f"{profile.session.answer_seconds} 秒内应答；连续 {profile.session.echo_misses_max} 次"
                "无任何数据即断开连接。",
            )
        )
    if profile.session.sign_on:
        rules.append(
            Both(
                "**Open and closed.** We ask for nothing before you have said that the line is open, and "
                "after you have said that it is closed; reversals wait meanwhile.",
                "**开启与关闭。** 贵方通知开启之前、关闭之后，我方不发起任何交易，冲正留待开启后发送。",
            )
        )
    page.items(rules)


def answers(page: Page, facts: "Facts") -> None:
    """Write what each code of an answer means to us."""
    rows, table = facts.profile.table.outward, facts.profile.table
    page.chapter(Both("Codes of your answers", "应答码"))
    page.say(
        "A code that does not stand here leaves the outcome open, as no answer does.",
        "未列出的应答码与无应答同样处理：结果未知。",
    )
    codes = {code: name for name, code in reversed(table.results.codes.items())}
    codes |= rows.codes if rows is not None else {}
    page.table(
        (Both("code", "代码"), Both("for us the charge is", "对扣款而言")),
        [(code(text), _meaning(Result[name.upper()])) for text, name in sorted(codes.items())],
    )


def _meaning(result: Result) -> Both:
    if result is Result.APPROVED:
        return Both("approved", "成功")
    if result in OPEN_RESULTS or result in NOT_OVER:
        return Both("open: it is treated as if there were no answer", "结果未知，按无应答处理")
    return Both("not taken", "未扣款")


def asking(page: Page, facts: "Facts") -> None:
    """Write the chapter on our messages; nothing where we ask for nothing."""
    rows = facts.profile.table.outward
    if rows is None:
        return
    page.chapter(Both("What we ask of you", "我方发起的交易"))
    page.say(*_both(POLICIES[rows.policy]))
    page.say(
        f"We wait {rows.answer_seconds:g} seconds for an answer. A code that this document does not explain "
        "leaves the outcome open for us, as no answer does.",
        f"我方等待应答 {rows.answer_seconds:g} 秒。本文未说明的应答码，与无应答同样处理：结果未知。",
    )
    for name, each in rows.transactions.items():
        _transaction(page, facts, rows, name, each)
    if rows.reasons:
        page.section(Both("Reasons", "原因码"))
        page.table(
            (Both("code", "代码"), Both("meaning", "含义")),
            [(code(value), REASONS[reason]) for reason, value in rows.reasons.items()],
        )


def _both(text: Both) -> tuple[str, str]:
    return text.en, text.zh


def _transaction(
    page: Page, facts: "Facts", rows: OutwardTable, name: str, each: OutwardTransactionTable
) -> None:
    page.section(TITLES[each.kind])
    page.say(*_both(PURPOSES[each.kind]))
    page.table((Both("field", "域"), Both("content", "内容")), list(_fields(facts, rows, each)))
    again = [f"{facts.label(path)} = {code(value)}" for path, value in each.again.items()]
    if again:
        said = joined(again)
        page.say(*_both(joined([Both("When it is sent again", "重发时"), said], ": ", "：")))
    page.say(*_both(joined([Both("Your answer has", "贵方应答含"), facts.when(each.answered)], ": ", "：")))
    for part, title in (
        ("request", Both("Sample", "示例")),
        ("approved", Both("and its answer", "及其应答")),
    ):
        sample = find(facts.samples, f"outward.{name}", part)
        if sample is not None:
            page.say(*_both(title))
            page.hex(sample.wire)


def _fields(facts: "Facts", rows: OutwardTable, each: OutwardTransactionTable) -> Iterator[tuple[Text, Text]]:
    """Yield each field of a message of ours, and what stands there."""
    table = facts.profile.table
    taken = {**table.request.take, **each.take}
    constants = {**table.request.set, **rows.set, **_firsts(each.when), **each.set}
    for path, value in constants.items():
        yield facts.label(path), code(value)
    for path, text in table.request.stamp.items():
        words = transform_words(split_row(text)[1])
        yield facts.label(path), _also(Both("time of sending", "发送时间"), words)
    for field, texts in taken.items():
        for text in values_of(texts):
            path, transform = split_row(text)
            yield facts.label(path), _also(FIELDS[field], transform_words(transform))


def _also(what: Both, how: Both) -> Both:
    return joined([what, how], "; ", "；") if how.en else what


def _firsts(when: dict[str, str | list[str]]) -> dict[str, str]:
    return {
        path: values_of(wanted)[0] for path, wanted in when.items() if values_of(wanted)[0] not in ("", "*")
    }


# Samples


def outward_samples(house: House) -> None:
    """Let the core ask for every transaction once, and note the network's approval."""
    profile = house.profile
    if profile.outward is None or profile.table.outward is None:
        return
    for at, (name, rows) in enumerate(profile.table.outward.transactions.items()):
        request = _request_of(profile, profile.outward, rows, at)
        for body in house.send_out(request):
            house.note(f"outward.{name}", "request", TITLES[rows.kind], body, ours=True)
            asked = profile.codec.decode(body)
            reply = Reply(Result.APPROVED, ORDER, AMOUNT_FEN)
            read = profile.outward.mapping.request_of(asked, NOW)
            known = read if isinstance(read, Request) else None
            answer = house.signed(profile.outward.mapping.reply_message(asked, known, reply, NOW))
            house.note(f"outward.{name}", "approved", TITLES[rows.kind], answer, ours=False)


def _request_of(
    profile: "Profile", outward: OutwardMapping, rows: OutwardTransactionTable, at: int
) -> Request:
    taken = {**profile.table.request.take, **rows.take}
    kind = Kind[rows.kind.upper()]
    about = kind is not Kind.CHARGE
    return Request(
        kind,
        outward.terms.space,
        TODAY,
        serial_of(taken["serial"], SERIAL),
        profile.name,
        profile.numbers[0],
        phone=PHONE,
        amount_fen=AMOUNT_FEN,
        received_us=NOW.wall_us + MINUTE_US * about,
        own_serial=serial_of(taken["own_serial"], OWN + at) if about else "",
        stamp_us=NOW.wall_us if about else 0,
        reason=next(iter(profile.table.outward.reasons), "") if about and profile.table.outward else "",
    )
