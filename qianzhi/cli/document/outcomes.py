"""The chapter on time-outs, repeats, dates and reversals: what to do when things go otherwise."""

from frontends.mapping_rows import split_row
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result


def outcomes(page: Page, facts: Facts) -> None:
    """Write the chapter on time-outs, repeats and dates."""
    page.chapter(Both("No answer, repeats and dates", "超时、重发与日期"))
    _serials(page, facts)
    _no_answer(page, facts)
    _dates(page, facts)
    _reversals(page, facts)


def _serials(page: Page, facts: Facts) -> None:
    page.section(Both("Serials", "流水号"))
    flag = facts.repeat_flag
    same = f" Set {facts.label(flag)} to `1`." if flag else ""
    same_zh = f"重发时 {facts.label(flag)} 填 `1`。" if flag else ""
    dated = (
        Both("your business date", "营业日期")
        if facts.dated
        else Both("the date on which we receive it", "我方收到的日期")
    )
    page.items(
        [
            Both(
                f"Your serial and {dated.en} together name a recharge or payment; the pair is never used "
                "for two different ones. Kind, phone, amount, bank number and bill are its content.",
                f"流水号与{dated.zh}共同标识一笔充值或缴费，不得用于两笔不同的交易。交易种类、号码、"
                "金额、银行编号和账单构成其内容。",
            ),
            Both(
                "**Sending the same again is always safe.** The same serial with the same content moves "
                "money once at most: a repeat hears the answer that is stored for the first (for at "
                f"least 200 days), or waits for it.{same}" + _own_fields(facts).en,
                "**重发总是安全的。** 流水号和内容都相同的请求至多入账一次：重发得到首次的应答（至少保存 "
                "200 天），首次尚在处理则等待其结果。" + same_zh + _own_fields(facts).zh,
            ),
            Both(
                f"The same serial with other content hears {facts.code_of(Result.DUPLICATE_SERIAL)} and "
                "changes nothing. A repeat of a reversed original hears "
                f"{facts.code_of(Result.REVERSED)}.",
                f"流水号相同而内容不同，应答 {facts.code_of(Result.DUPLICATE_SERIAL)}，不产生任何影响。"
                f"原交易已冲正时，重发应答 {facts.code_of(Result.REVERSED)}。",
            ),
            Both(
                "**Never send a new serial for the same order** before the old one is settled: that is a "
                "second recharge.",
                "**原流水未有定论之前，切勿换新流水重做同一笔业务**，否则就是第二笔充值。",
            ),
        ]
    )


def _own_fields(facts: Facts) -> Both:
    """Say what else a repeat may not change: above all the date, or it is another recharge."""
    dates = dict.fromkeys(
        facts.label(split_row(str(row["date"]))[0])
        for row in (facts.profile.table.transactions[name].take for name in facts.names_of_money())
        if "date" in row
    )
    same = ", ".join(dates)
    flagless = (
        Both("", "") if facts.repeat_flag else Both(" There is no repeat flag.", "本接口没有重发标志。")
    )
    if not same:
        return flagless
    return Both(
        f"{flagless.en} Above all keep {same} as it was, also after midnight: with another business date "
        "it is another recharge.",
        f"{flagless.zh}尤其要保持 {same} 不变，跨零点亦然：营业日期不同就是另一笔充值。",
    )


def _no_answer(page: Page, facts: Facts) -> None:
    limits, results = facts.profile.limits, facts.profile.results
    page.section(Both("When no answer comes", "未收到应答"))
    silent = results.silent_on_unknown
    unknown, going = facts.code_of(Result.UNKNOWN), facts.code_of(Result.IN_PROCESS)
    said = (
        Both("you hear nothing", "我方不作应答")
        if silent
        else Both(f"you hear {unknown}: the outcome is not known", f"应答 {unknown}，表示结果未知")
    )
    codes = going if silent else f"{unknown}, {going}"
    wait = int(limits.reply_seconds) + 5
    page.say(
        f"We answer within {limits.reply_seconds:g} s of receiving a request. When we cannot say by then "
        f"what became of it, {said.en}. Wait {wait} s before you count an answer as missing.",
        f"我方收到请求后 {limits.reply_seconds:g} 秒内应答；届时仍无定论的，{said.zh}。贵方等待 {wait} "
        "秒仍无应答，方可视为超时。",
    )
    page.say(
        f"No answer, a lost connection, the codes {codes} and any code that is not in the table of "
        "result codes mean the same: **the money may or may not have moved.** Do not tell the customer "
        "that it failed. Then do one of these:",
        f"未收到应答、断线、返回码 {codes}、以及返回码表中没有的代码，含义相同：**可能已入账，"
        "也可能未入账**，不得告知客户失败。此时任选其一：",
    )
    page.steps(_ways_out(facts))


def _ways_out(facts: Facts) -> list[Both]:
    """Return what a bank can do about an open outcome, in steps."""
    going = facts.code_of(Result.IN_PROCESS)
    status = bool(facts.names_of(Kind.STATUS))
    steps = [
        Both(
            "Send the same request again, same serial and content"
            + (f", {facts.label(facts.repeat_flag)} = `1`" if facts.repeat_flag else "")
            + ". Its answer is final unless it is one of the open codes.",
            "以相同流水号和内容重发"
            + (f"，{facts.label(facts.repeat_flag)} 填 `1`" if facts.repeat_flag else "")
            + "。除结果未知类代码外，其应答即为最终结果。",
        )
    ]
    if status:
        going_words = f" {going} says that the original is still under way: ask again after some seconds."
        steps.append(
            Both(
                f"Or send a status query with the original's serial. {facts.code_of(Result.APPROVED)} "
                f"says that the money stands; {facts.code_of(Result.NOT_FOUND)} that it does not and "
                f"never will.{going_words}",
                f"或发送状态查询，填原流水号。应答 {facts.code_of(Result.APPROVED)} 表示已入账；"
                f"{facts.code_of(Result.NOT_FOUND)} 表示未入账且以后也不会入账；{going} 表示仍在处理，"
                "数秒后再查。",
            )
        )
    if facts.names_of(Kind.REVERSAL):
        steps.append(
            Both(
                "Or send a reversal, when you do not want it to stand in any case. "
                f"{facts.code_of(Result.APPROVED)} says that it is undone, "
                f"{facts.code_of(Result.NOT_FOUND)} that there is nothing to undo and never will be, "
                f"{facts.code_of(Result.ORIGINAL_REFUSED)} that the original was refused: in all three "
                "no money stands.",
                f"或发送冲正，明确不要该笔交易。应答 {facts.code_of(Result.APPROVED)} 表示已撤回，"
                f"{facts.code_of(Result.NOT_FOUND)} 表示原交易不存在且以后也不会受理，"
                f"{facts.code_of(Result.ORIGINAL_REFUSED)} 表示原交易当时已拒绝：三者均表示没有入账。",
            )
        )
    steps.append(
        Both(
            "Repeat the query or reversal itself, under new serials of its own, until it has a final "
            "answer: at once, then with growing pauses (10 s, 30 s, 1 min, 5 min). Leave what is open at "
            "the end of the day to reconciliation.",
            "查询或冲正本身未得到定论时，换用自己的新流水继续发送：先立即，再以 10 秒、30 秒、1 分钟、5 "
            "分钟逐步加大间隔。日终仍无定论的留待对账处理。",
        )
    )
    return steps


def _dates(page: Page, facts: Facts) -> None:
    page.section(Both("Business dates", "营业日期"))
    bad, closed, old = (facts.code_of(one) for one in (Result.BAD_DATE, Result.DATE_CLOSED, Result.TOO_OLD))
    lines = [
        Both(
            "A new recharge or payment may be dated yesterday, today or tomorrow; any other date hears "
            f"{bad}.",
            f"新充值或缴费的营业日期只能是昨日、今日或明日，其他日期应答 {bad}。",
        ),
        Both(
            "A business date is closed at noon of the next day. After that it takes nothing new and no "
            f"reversal: {closed}.",
            f"营业日于次日中午关账，此后不再受理该日的新交易和冲正，应答 {closed}。",
        ),
        Both(
            "A repeat, query or reversal names the original's date, not today's. Past what we keep, the "
            f"answer is {old}.",
            f"重发、查询和冲正使用原交易的营业日期，而非当天日期。超过保存期的应答 {old}。",
        ),
    ]
    if not facts.dated:
        lines.insert(
            0,
            Both(
                "Messages carry no business date; the date on which we received the original counts. A "
                "repeat is known again within two hours also over midnight, a query or reversal on the "
                "neighbouring days.",
                "报文不带营业日期，以我方首次收到的日期为准。重发在两小时内跨零点也能识别，"
                "查询和冲正会查找相邻两日。",
            ),
        )
    page.items(lines)


def _reversals(page: Page, facts: Facts) -> None:
    if not facts.names_of(Kind.REVERSAL):
        return
    rule = facts.profile.reversal
    page.section(Both("Reversals", "冲正"))
    page.items(
        [
            Both(
                f"**Until when.** {rule.rule}",
                f"**时限。** {rule.rule_zh or RULE_ZH}",
            ),
            Both(
                "A reversal is never refused because the money is spent already; the customer then owes it.",
                "冲正不会因余额不足被拒，不足部分记为客户欠费。",
            ),
            Both(
                "It takes back the whole amount: a different amount hears "
                f"{facts.code_of(Result.AMOUNT_DIFFERS)}.",
                f"只能整笔冲正，金额不一致应答 {facts.code_of(Result.AMOUNT_DIFFERS)}。",
            ),
            Both(
                "Reversals and status queries are served at any hour and before everything else.",
                "冲正和状态查询全天受理，并优先处理。",
            ),
        ]
    )


RULE_ZH = "原交易营业日关账之前均可冲正；我方未收到过的原交易，冲正后即被封锁，不再受理。"
