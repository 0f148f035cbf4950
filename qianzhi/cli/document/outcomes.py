"""The chapter on time-outs, repeats, dates and reversals: what to do when things go otherwise."""

from frontends.mapping_rows import split_row
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, joined
from qianzhi.domain.dates import AHEAD_DAYS_MAX
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

ATTEMPTS = 5
WAIT_MORE_SECONDS = 5  # for the way there and back


def outcomes(page: Page, facts: Facts) -> None:
    """Write the chapter on time-outs, repeats and dates."""
    page.chapter(Both("No answer, repeats and dates", "超时、重发与日期"))
    _serials(page, facts)
    _no_answer(page, facts)
    _dates(page, facts)
    _reversals(page, facts)


def wait_seconds(facts: Facts) -> int:
    """Return how long a bank waits before it counts an answer as missing."""
    return int(facts.profile.limits.reply_seconds) + WAIT_MORE_SECONDS


def _serials(page: Page, facts: Facts) -> None:
    page.section(Both("Serials and repeats", "流水号与重发"))
    dated = (
        Both("its business date", "营业日期")
        if facts.dated
        else Both("the business date in force as we receive it", "我方收到时的营业日期")
    )
    duplicate = facts.code_of(Result.DUPLICATE_SERIAL)
    page.items(
        [
            Both(
                f"The serial of a recharge or payment and {dated.en} together name it; the pair is "
                "never used "
                "for two different ones. Kind, phone, amount, bank number and bill are its content.",
                f"充值或缴费的流水号与{dated.zh}共同标识该笔交易，不得用于两笔不同的交易。交易种类、号码、"
                "金额、银行编号和账单构成其内容。",
            ),
            _repeat_rule(facts),
            Both(
                "**Sending the same again is always safe.** It moves money once at most: a repeat hears the "
                "answer that is stored for the first (for at least 200 days), or waits for it together with "
                f"the first. After a reversal it hears {facts.code_of(Result.REVERSED)}. The same "
                "serial with "
                f"other content hears {duplicate} and changes nothing.",
                "**重发总是安全的。** 至多入账一次：重发得到首次所存的应答（至少保存 200 天），首次尚在"
                "处理则一同"
                f"等待。已冲正的应答 {facts.code_of(Result.REVERSED)}。流水号相同而内容不同，应答 "
                f"{duplicate}，"
                "不产生任何影响。",
            ),
            Both(
                "**Never send a new serial for the same order** before the old one is settled: that is a "
                "second recharge.",
                "**原流水未有定论之前，切勿换新流水重做同一笔业务**，否则就是第二笔充值。",
            ),
            Both(
                "Only recharges and payments use serials up. What stands in the serial's place of a query of "
                "what is owed or of totals, and a status query's or reversal's own serial, claims "
                "nothing and "
                "is not kept. One count for all messages is the simplest, since the fields of chapter "
                "6.2 must "
                "differ among open requests.",
                "只有充值和缴费占用流水号。欠费查询、总额核对的流水号，以及状态查询、冲正自己的流水号，"
                "均不占用、"
                "不保存。但应答按第 6.2 节的字段匹配请求，同时等待应答的请求之间这些字段不得全部相同；"
                "所有报文共用一个计数即可。",
            ),
        ]
    )


def _repeat_rule(facts: Facts) -> Both:
    """Say what a repeat keeps and what it may change."""
    flag = facts.repeat_flag
    flagged = (
        Both(
            f" Set {facts.label(flag)} to `1`, or leave it as it was: it changes nothing.",
            f"{facts.label(flag)} 可填 `1` 也可不变，不影响处理。",
        )
        if flag
        else Both(" There is no repeat flag.", "本接口没有重发标志。")
    )
    resealed = (
        Both(" The MAC is made anew under the key of the moment.", "报文鉴别码按当前密钥重新计算。")
        if facts.exchanged
        else Both("", "")
    )
    keeps = joined(_dates_of_money(facts))
    kept = (
        Both(
            f" Above all keep the business date in {keeps.en}, also after midnight: with another one it is "
            "another recharge.",
            f"尤其要保持 {keeps.zh} 中的营业日期不变，跨零点亦然：日期不同就是另一笔充值。",
        )
        if keeps.en
        else Both("", "")
    )
    same = (
        Both("serial, business date and content", "流水号、营业日期和内容")
        if facts.dated
        else Both("serial and content", "流水号和内容")
    )
    return Both(
        f"A *repeat* is the same recharge or payment once more: {same.en} as they were. "
        f"Everything else may change, such as times.{kept.en}{flagged.en}{resealed.en}",
        f"*重发*是同一笔充值或缴费再次发送：{same.zh}不变，其余（如时间）可以变。"
        f"{kept.zh}{flagged.zh}{resealed.zh}",
    )


def _dates_of_money(facts: Facts) -> list[Both]:
    """Return where the business date stands, with the part of a longer field that is it."""
    found = {}
    for name in facts.names_of_money():
        rows = {**facts.profile.table.request.take, **facts.profile.table.transactions[name].take}
        if "date" not in rows:
            continue
        path, transform = split_row(str(rows["date"]))
        kind, _, width = transform.partition(":")
        size = {"mmdd": 4, "date_head": 8}.get(kind, 0)
        label = facts.label(path)
        part = size and width and int(width) > size
        found[path] = (
            Both(
                f"{label} (its first {size} digits; the rest may change)",
                f"{label}（前 {size} 位，其余可变）",
            )
            if part
            else Both(label, label)
        )
    return list(found.values())


def _no_answer(page: Page, facts: Facts) -> None:
    page.section(Both("When no answer comes, or an open one", "未收到应答或应答未定"))
    unknown = facts.code_of(Result.UNKNOWN)
    said = (
        Both(f"you hear {unknown}", f"应答 {unknown}")
        if unknown
        else Both("you hear nothing", "我方不作应答")
    )
    page.say(
        f"We answer within {facts.profile.limits.reply_seconds:g} s of taking a request in; when we "
        "cannot say "
        f"by then what became of it, {said.en}. No answer within {wait_seconds(facts)} s of sending, a lost "
        "connection, an answer whose MAC is wrong, and every code that chapter 9 calls *open* mean the same: "
        "**the money may stand or not.** Do not tell the customer that it failed, and do not give the money "
        "back. Do this, in this order; the column of chapter 9 that belongs to each step says when you are "
        "done (*stands* or *none*).",
        f"我方受理请求后 {facts.profile.limits.reply_seconds:g} 秒内应答；届时仍无定论的，{said.zh}。"
        f"发送后 {wait_seconds(facts)} 秒未收到应答、断线、应答的 MAC 错误，以及第 9 章列为*未定*的返回码，"
        "含义相同：**可能已入账，也可能未入账。** 不得告知客户失败，也不得退款。按以下次序处理；"
        "每一步以第 9 章的对应栏为准，得到*已入账*或*未入账*即告结束。",
    )
    page.steps(_ways_out(facts))


PAUSES = Both(
    "at once, then with growing pauses (10 s, 30 s, 1 min, 5 min)",
    "先立即，再以 10 秒、30 秒、1 分钟、5 分钟逐步加大间隔",
)


def _ways_out(facts: Facts) -> list[Both]:
    """Return what a bank does about an open outcome, in its order."""
    steps = [_send_again(facts)]
    not_found, missing = facts.code_of(Result.NOT_FOUND), facts.code_of(Result.DUPLICATE_SERIAL)
    names = Both("serial and business date", "流水号和营业日期") if facts.dated else Both("serial", "流水号")
    what = Both("pair", "流水") if facts.dated else Both("serial", "流水")
    if facts.names_of(Kind.STATUS):
        steps.append(
            Both(
                f"**Then query its status** (column *status query*), also after {missing}: {PAUSES.en}. "
                "Asking "
                f"settles: {not_found} says that it never came, and from then on it can never be "
                "carried out; "
                f"the order may begin anew under a new serial. Name the original's {names.en} "
                f"exactly: of a {what.en} that you never used you hear {not_found} too, and the original is "
                "as it was.",
                f"**再查询状态**（看*状态查询*栏；重发得到 {missing} 时亦然）：{PAUSES.zh}。查询即定局："
                f"{not_found} 表示从未收到原交易，此后也不再受理，可换新流水重新办理。原{names.zh}"
                f"必须准确：查询从未使用过的{what.zh}也应答 {not_found}，而真正的原交易不受影响。",
            )
        )
    if facts.names_of(Kind.REVERSAL):
        steps.append(
            Both(
                "**Or reverse it**, in place of 1 or 2, as soon as you do not want it to stand in any case "
                f"(column *reversal*): {PAUSES.en}. {facts.code_of(Result.APPROVED)} says that it is undone. "
                "After a reversal send the original no more; a query may follow at any time.",
                f"**或冲正**，代替第 1、2 步，一旦明确不要该笔交易即可发送（看*冲正*栏）：{PAUSES.zh}。应答 "
                f"{facts.code_of(Result.APPROVED)} 表示已撤回。发出冲正后不再重发原交易；可随时查询。",
            )
        )
    steps.append(
        Both(
            "A query or reversal that has no answer itself, or an open one, is sent again in the same way. "
            "What is still open when the business date closes is left to reconciliation; until then neither "
            "book it nor give the money back.",
            "查询或冲正本身无应答或未定时，同样再发。营业日关账时仍未定的留待对账；在此之前不得记账，也"
            "不得退款。",
        )
    )
    return steps


def _send_again(facts: Facts) -> Both:
    wait = wait_seconds(facts)
    ways = {
        "zeromq": Both(
            "the very same bytes under the same message id, also after a reconnection",
            "以相同消息号发送完全相同的字节，重连后亦然",
        ),
        "rabbitmq": Both(
            "the same body as a new message of the queue, under a message id of its own",
            "以队列的新消息发送相同报文，使用新的消息号",
        ),
        "ibmmq": Both(
            "the same body as a new message of the queue, with a MsgId of its own",
            "以队列的新消息发送相同报文，使用新的 MsgId",
        ),
        "files": Both("the same line in a new file", "在新文件中放入同一行"),
    }
    way = (
        ways[facts.engine]
        if facts.queued
        else Both("on any connection, as a repeat (8.1)", "在任一连接上重发（见 8.1）")
    )
    limit = (
        Both("", "")
        if facts.dated
        else Both(" Not more than two hours after the first.", "距首次发送不得超过两小时。")
    )
    return Both(
        f"**Send the same request again** (column *repeat*): {way.en}; wait {wait} s each time, and "
        f"repeat it {ATTEMPTS} times at most.{limit.en}",
        f"**重发同一请求**（看*重发*栏）：{way.zh}；每次等待 {wait} 秒，最多重发 {ATTEMPTS} 次。{limit.zh}",
    )


def _dates(page: Page, facts: Facts) -> None:
    page.section(Both("Business dates", "营业日期"))
    bad, closed, old = (facts.code_of(one) for one in (Result.BAD_DATE, Result.DATE_CLOSED, Result.TOO_OLD))
    missing = facts.code_of(Result.NOT_FOUND)
    lines = [
        CLOSES,
        Both(
            "Repeats and queries are answered after the close as before; a reversal of what stands then "
            f"hears {closed}, and of a serial that we never saw {missing}. Past what we keep, the answer is "
            f"{old}.",
            f"关账后重发和查询照常应答；冲正已入账的交易应答 {closed}，冲正从未收到的流水应答 {missing}。"
            f"超过保存期的应答 {old}。",
        ),
    ]
    if facts.dated:
        dated = Both(
            "A new recharge or payment may be dated today, tomorrow, or yesterday until that is closed; from "
            f"then on yesterday hears {closed}, and any other date {bad}. A repeat, query or reversal names "
            "the original's date, not today's.",
            "新充值或缴费的营业日期可以是今日、明日，昨日关账之前也可以是昨日；关账之后昨日应答 "
            f"{closed}，其他日期应答 {bad}。重发、查询和冲正使用原交易的营业日期，而非当天日期。",
        )
        lines.insert(1, dated)
    else:
        lines[:0] = [_date_of_ours(facts), BESIDE]
    if facts.names_of(Kind.TOTALS):
        lines.append(
            Both(
                "Totals may be asked of any date up to tomorrow that is kept, closed or not; a later "
                "one hears "
                f"{bad}, an older one {old}.",
                f"总额核对可针对保存期内至明日的任何日期，不论是否关账；更晚的应答 {bad}，更早的应答 {old}。",
            )
        )
    if facts.yearless:
        lines.append(
            Both(
                "A date of month and day means the latest such date that lies at most "
                f"{AHEAD_DAYS_MAX} days ahead. An original of more than eleven months ago can therefore "
                "not be "
                "named any more: neither repeat it nor ask after it nor reverse it; leave it to "
                "reconciliation.",
                f"只有月日的日期，指不晚于 {AHEAD_DAYS_MAX} 天之后的最近一个该月日。因此十一个月之前的原"
                "交易已无法"
                "指明：不得重发、查询或冲正，留待对账处理。",
            )
        )
    page.items(lines)


def _date_of_ours(facts: Facts) -> Both:
    """Say which date a message without one gets."""
    rule = facts.profile.session.cutover
    if facts.by_notice:
        return Both(
            "Messages carry no business date: what we receive first is booked under the one that your last "
            "notice of cutover has begun, or the calendar's where none came by 00:20.",
            "报文不带营业日期：以我方首次收到时贵方最近一次日切通知所定的营业日期为准；至 00:20 未收到通知"
            "的，以日历日期为准。",
        )
    if rule == "00:00":
        return Both(
            "Messages carry no business date; the date on which we received the original counts.",
            "报文不带营业日期，以我方首次收到的日期为准。",
        )
    return Both(
        "Messages carry no business date; the one in force when we received the original counts. It changes "
        f"at {rule} Beijing time"
        + (", to the date of the next day." if rule >= "18:00" else ", to the date of that day."),
        f"报文不带营业日期，以我方首次收到时的营业日期为准，每日 {rule}（北京时间）切换为"
        + ("次日日期。" if rule >= "18:00" else "当日日期。"),
    )


CLOSES = Both(
    "A business date is closed on the next day, at noon unless otherwise agreed, and later while something "
    "of it is still being settled.",
    "营业日于次日关账，如无另行约定为中午；当日尚有未结清事项的相应推迟。",
)
BESIDE = Both(
    "A repeat is known again within two hours, also over a change of the date; a query or reversal finds an "
    "original of the date in force and of the two beside it, so send it before the date has changed twice. "
    "Use no serial again within three days: of two originals under one serial a query could mean either.",
    "重发在两小时内跨日也能识别；查询和冲正查找当前营业日及相邻两日的原交易，故须在营业日期切换两次之前发送。"
    "同一流水号三日内不得再次使用，否则查询可能指向其中任意一笔。",
)


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
                "It takes back the whole amount. A different amount hears "
                f"{facts.code_of(Result.AMOUNT_DIFFERS)} and reverses nothing; the right one may follow.",
                f"只能整笔冲正。金额不一致应答 {facts.code_of(Result.AMOUNT_DIFFERS)}，不产生冲正，"
                "可再以正确金额发送。",
            ),
            Both(
                "Reversals and status queries are served at any hour and before everything else.",
                "冲正和状态查询全天受理，并优先处理。",
            ),
        ]
    )
    if facts.names_of(Kind.VOID):
        page.say(
            f"A *cancellation* takes back what is approved, as a reversal does, but hears "
            f"{facts.code_of(Result.SPENT)} when the money has been spent: the original then stands. It is "
            "no way to find out what became of an original, and repeats of it hear what the first one heard "
            "unless that was this refusal.",
            f"*撤销*与冲正一样撤回已成功的交易，但款项已被使用时应答 {facts.code_of(Result.SPENT)}，"
            "原交易仍然有效。撤销不得用于查明原交易结果；除上述拒绝外，重复撤销得到与首次相同的应答。",
        )


RULE_ZH = "原交易营业日关账之前均可冲正；我方未收到过的原交易，冲正后即被封锁，不再受理。"
