"""What each result means to a bank's engineers and what they do about it, in both languages."""

from qianzhi.cli.document.page import NOTHING, Both
from qianzhi.domain.results import Result

MEANINGS = {
    Result.APPROVED: Both("approved", "成功"),
    Result.UNKNOWN: Both(
        "outcome not known: the money may or may not have moved", "结果未知，可能已入账也可能未入账"
    ),
    Result.IN_PROCESS: Both("the original is still under way", "原交易仍在处理"),
    Result.NOTHING_OWED: Both("nothing is owed", "没有欠费"),
    Result.NO_SUCH_PHONE: Both("the phone number does not exist", "号码不存在"),
    Result.PHONE_CLOSED: Both("the phone number has been closed", "号码已销户"),
    Result.BAD_AMOUNT: Both("the amount is zero or no amount", "金额为零或非法"),
    Result.AMOUNT_LIMIT: Both("the amount is above the limit", "金额超限"),
    Result.NO_SUCH_BILL: Both("there is no such bill", "账单不存在"),
    Result.BILL_CHANGED: Both("the amount is not what the bill comes to now", "金额与账单当前应缴额不符"),
    Result.BILL_PAID: Both("the bill is paid already", "账单已缴清"),
    Result.OVER_QUOTA: Both("over the quota of this account or channel", "超出账户或渠道额度"),
    Result.DUPLICATE_SERIAL: Both("this serial was used before with other content", "流水号重复而内容不同"),
    Result.REVERSED: Both("it was approved and has been reversed since", "原交易成功后已冲正"),
    Result.BLOCKED: Both(
        "the serial is blocked: a query, a reversal or a refusal of ours came before the request could be "
        "carried out",
        "流水已封锁：交易受理之前，该流水已被查询、冲正或拒绝",
    ),
    Result.NOT_FOUND: Both(
        "no original under this serial, and there never will be", "原交易不存在，以后也不会受理"
    ),
    Result.ORIGINAL_REFUSED: Both(
        "the original was refused: there is nothing to reverse", "原交易当时已拒绝，无须冲正"
    ),
    Result.AMOUNT_DIFFERS: Both("the reversal's amount is not the original's", "冲正金额与原交易不一致"),
    Result.BAD_DATE: Both("the business date is too far from today", "营业日期与当日相差过大"),
    Result.DATE_CLOSED: Both("the business date is closed", "营业日期已关账"),
    Result.TOO_OLD: Both("older than what is kept", "超过保存期"),
    Result.TOTALS_DIFFER: Both("the totals differ; the answer brings ours", "总额不符，应答中为我方数字"),
    Result.SPENT: Both(
        "the money of the original has been spent: it cannot be cancelled", "原交易款项已使用，不能撤销"
    ),
    Result.FORMAT: Both("a field is missing or not in its form", "字段缺失或格式错误"),
    Result.BAD_MAC: Both("the MAC is missing or wrong", "MAC 缺失或错误"),
    Result.NOT_SIGNED_ON: Both("not signed on", "未签到"),
    Result.UNSUPPORTED: Both("no such transaction on this line", "不支持的交易"),
    Result.NO_ROUTE: Both("the bank number is not served here", "银行编号无法受理"),
    Result.BUSY: Both("the platform is busy", "系统忙"),
    Result.UNAVAILABLE: Both("the platform cannot take it now", "系统暂不可用"),
    Result.CLOSED_HOURS: Both("outside the hours of service", "非服务时间"),
    Result.QUARANTINED: Both("it could not be processed and is refused for good", "无法处理，已永久拒绝"),
}
TELL = Both("Tell the customer.", "告知客户。")
MEND = Both("Mend the program.", "修正程序。")
BILL_AGAIN = Both("Query what is owed again, then pay under a new serial.", "重新查询欠费，换新流水缴费。")
RECONCILE = Both("Leave the original to reconciliation.", "原交易留待对账处理。")
CONCLUDE_NOTHING = Both("Go on as chapter 8.2 says.", "按第 8.2 节继续。")
LATER = Both("Send it again after a pause.", "稍后重发。")
IN_HOURS = Both("Send it again in the hours of service.", "在服务时间内重发。")
ANEW = {
    LATER: Both("Try later under a new serial.", "稍后换新流水再试。"),
    IN_HOURS: Both("Try in the hours of service, under a new serial.", "在服务时间内换新流水再试。"),
}

ADVICE = {
    Result.APPROVED: NOTHING,
    Result.UNKNOWN: CONCLUDE_NOTHING,
    Result.IN_PROCESS: Both("Query again after some seconds.", "数秒后再查询。"),
    Result.NOTHING_OWED: TELL,
    Result.NO_SUCH_PHONE: TELL,
    Result.PHONE_CLOSED: TELL,
    Result.BAD_AMOUNT: MEND,
    Result.AMOUNT_LIMIT: TELL,
    Result.NO_SUCH_BILL: BILL_AGAIN,
    Result.BILL_CHANGED: BILL_AGAIN,
    Result.BILL_PAID: BILL_AGAIN,
    Result.OVER_QUOTA: TELL,
    Result.DUPLICATE_SERIAL: Both(
        "This content was not carried out and never will be under this serial. What was sent first under "
        "it is as it was: query it, and look for the mistake.",
        "本次内容未受理，此流水下也不会受理。该流水首次发送的交易不受影响：查询其结果，并检查贵方程序。",
    ),
    Result.REVERSED: TELL,
    Result.BLOCKED: TELL,
    Result.NOT_FOUND: TELL,
    Result.ORIGINAL_REFUSED: TELL,
    Result.AMOUNT_DIFFERS: Both(
        "This message reversed nothing: send another one with the original's amount.",
        "本条未冲正任何交易：以原交易金额另发冲正。",
    ),
    Result.BAD_DATE: MEND,
    Result.DATE_CLOSED: Both(
        "Reversal: the original stands and can no longer be reversed; leave it to reconciliation.",
        "冲正：原交易有效且已不能冲正，留待对账处理。",
    ),
    Result.TOO_OLD: RECONCILE,
    Result.TOTALS_DIFFER: Both("Reconcile the day, transaction by transaction.", "逐笔对账。"),
    Result.SPENT: Both("The original stands; settle it with the customer.", "原交易有效，请与客户另行协商。"),
    Result.FORMAT: MEND,
    Result.BAD_MAC: Both("Check the key and the rule of chapter 7.", "检查密钥和第 7 章的算法。"),
    Result.NOT_SIGNED_ON: Both("Sign on, then send again.", "签到后重发。"),
    Result.UNSUPPORTED: MEND,
    Result.NO_ROUTE: Both("Check the bank number.", "核对银行编号。"),
    Result.BUSY: LATER,
    Result.UNAVAILABLE: LATER,
    Result.CLOSED_HOURS: IN_HOURS,
    Result.QUARANTINED: Both("Tell us the serial.", "请将流水号告知我方。"),
}
VERDICTS = {
    "stands": Both("stands", "已入账"),
    "none": Both("none", "未入账"),
    "free": Both("free", "可重发"),
    "open": Both("open", "未定"),
    "unheard": Both("–", "–"),
}
VERDICTS_LONG = {
    "stands": Both(
        "The money stands. Book it, or leave it booked.", "资金已入账。据此记账，或维持已记的账。"
    ),
    "none": Both(
        "No money stands, and none ever will: the serial is used up. Give the customer's money back, or "
        "begin anew under a new serial.",
        "未入账，以后也不会入账，该流水已作废。向客户退款，或换新流水重新办理。",
    ),
    "free": Both(
        "This message moved nothing, and the same serial can still be approved. Send it again; before you "
        "give it up instead, settle it by a status query.",
        "本条未入账，同一流水仍可能成功。可重发；若要放弃，须先以状态查询定局。",
    ),
    "open": Both(
        "Nothing is said about the money under this serial: it may stand or not, and may still move. "
        "Neither book nor give back; go on as chapter 8.2 says.",
        "对该流水的资金未作任何结论：可能已入账，也可能未入账或稍后入账。不得记账也不得退款，"
        "按第 8.2 节继续。",
    ),
    "unheard": Both("Not heard there; should it be, it is open.", "此处不会出现；若出现，按未定处理。"),
}
LISTENERS = {
    "alone": Both("sent once", "仅发一次"),
    "repeat": Both("repeat", "重发"),
    "status": Both("status query", "状态查询"),
    "reversal": Both("reversal", "冲正"),
    "void": Both("cancellation", "撤销"),
}


def advice(result: Result, *, free: bool, exchanged: bool) -> Both:
    """Return what to do about a result; `free` says that the serial may be sent again, `exchanged` that keys
    travel in messages.
    """
    words = ADVICE[result]
    if not free:
        words = ANEW.get(words, words)
    if result is Result.BAD_MAC and exchanged:
        return Both(f"{words.en} Then get a new key (chapter 5).", f"{words.zh}并更换密钥（第 5 章）。")
    return words
