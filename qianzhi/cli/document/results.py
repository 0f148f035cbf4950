"""What each result means to a bank's engineers and what they do about it, in both languages."""

from typing import Literal

from qianzhi.cli.document.page import Both
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
        "the serial is blocked: it was asked about, or refused, before it came",
        "流水已封锁：到达之前已被查询、冲正或拒绝",
    ),
    Result.NOT_FOUND: Both(
        "no original under this serial, and there never will be", "原交易不存在，以后也不会受理"
    ),
    Result.ORIGINAL_REFUSED: Both(
        "the original was refused: there is nothing to reverse", "原交易当时已拒绝，无须冲正"
    ),
    Result.AMOUNT_DIFFERS: Both("the amount is not the original's", "金额与原交易不一致"),
    Result.BAD_DATE: Both("the business date is more than one day from today", "营业日期与当日相差超过一天"),
    Result.DATE_CLOSED: Both("the business date is closed", "营业日期已关账"),
    Result.TOO_OLD: Both("older than what is kept", "超过保存期"),
    Result.TOTALS_DIFFER: Both("the totals differ; the answer brings ours", "总额不符，应答中为我方数字"),
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
Advice = Literal[
    "done",
    "tell",
    "closed",
    "open",
    "wait",
    "refused",
    "ask_bill",
    "look",
    "mend",
    "keys",
    "sign_on",
    "anew",
    "later",
    "hours",
    "totals",
    "call",
]
ADVICE: dict[Advice, Both] = {
    "done": Both("Book it.", "入账。"),
    "open": Both("Conclude nothing: repeat, query or reverse.", "不得下结论：重发、查询或冲正。"),
    "wait": Both("Ask again after some seconds.", "数秒后再查询。"),
    "tell": Both("Tell the customer.", "告知客户。"),
    "refused": Both(
        "No money stands: tell the customer, give the money back.", "未入账，告知客户并退还资金。"
    ),
    "closed": Both(
        "A recharge or payment: no money stands. A query or reversal: its original is as it was; leave "
        "it to reconciliation.",
        "充值缴费：未入账。查询或冲正：原交易保持原状，留待对账处理。",
    ),
    "ask_bill": Both(
        "Query what is owed again, then pay under a new serial.", "重新查询欠费，换新流水缴费。"
    ),
    "look": Both(
        "Look for the mistake on your side; the original is as it was.", "检查贵方程序；原交易不受影响。"
    ),
    "mend": Both("Mend the program; this message was not carried out.", "修正程序；本条报文未受理。"),
    "keys": Both(
        "Check the key and the rule of the MAC, ask for a new key where keys are exchanged, then send again.",
        "检查密钥和 MAC 算法，必要时重新申请密钥，再重发。",
    ),
    "sign_on": Both("Sign on, then send again.", "签到后重发。"),
    "anew": Both("No money stands: try again later under a new serial.", "未入账，稍后换新流水再试。"),
    "later": Both("Send it again after a pause.", "稍后重发。"),
    "hours": Both("Try again in the hours of service.", "在服务时间内再试。"),
    "totals": Both("Reconcile the day, transaction by transaction.", "逐笔对账。"),
    "call": Both(
        "A recharge or payment: no money stands. A reversal: its original is as it was. Tell us the serial.",
        "充值缴费：未入账。冲正：原交易保持原状。请将流水号告知我方。",
    ),
}
