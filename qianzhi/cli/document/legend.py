"""How the tables of messages are read: what the letters in them mean."""

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import NOTHING, Both, Page

BLANK = {
    "fixed": Both("fill with blanks", "填空格"),
    "delimited": Both("leave the column empty", "留空列"),
}
LEAVE_OUT = Both("leave it out", "不填")
IGNORE = Both(" In answers, ignore what no table names.", "应答中出现表中没有的内容时忽略即可。")
NO_OTHERS = Both(" An answer has no field that its tables do not name.", "应答不会出现表中没有的字段。")
UNPROVED = Both(
    "Where the MAC was missing or wrong, not even all of these are there: only headers, what tells an answer "
    "and finds its request (6.2), the code and the MAC. ",
    "请求的 MAC 缺失或错误时，其中只保留报文头、应答标志与匹配字段（第 6.2 节）、返回码和 MAC。",
)
EXTRA = {"iso8583": NO_OTHERS, "xml": IGNORE, "pairs": IGNORE, "fixed": NOTHING, "delimited": NOTHING}


def legend(page: Page, facts: Facts) -> None:
    """Write the section, with what a bare refusal is."""
    page.section(Both("How to read the tables", "表格说明"))
    unused = BLANK.get(facts.spec.kind, LEAVE_OUT)
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
            (
                "K",
                Both("write it as given; we check neither it nor that it is there", "按规定填写，我方不校验"),
            ),
            ("O", Both(f"optional; without a value {unused.en}", f"可选；无值时{unused.zh}")),
            ("–", Both(f"not used: {unused.en}", f"不用：{unused.zh}")),
        ],
    )
    page.table(
        (Both("in answers", "应答"), Both("meaning", "含义")),
        [
            ("A", Both("always", "总有")),
            ("E", Both("echo: there when the request had it", "回送：请求中有则有")),
            ("G", Both("in every answer but a bare refusal", "除简单拒绝应答外都有")),
            ("P", Both("with an approval only", "仅成功时有")),
            ("W", Both("when there is something to write", "有内容时才有")),
        ],
    )
    blank = facts.spec.kind in BLANK
    said = (
        Both(" and, where the transaction is known, the result in words", "，交易可识别时另有结果说明")
        if facts.profile.results.texts
        else NOTHING
    )
    proved = UNPROVED if facts.profile.mac is not None else NOTHING
    page.say(
        "A *bare refusal* answers a message that never became a request: its form, MAC, sign-on, bank "
        "number or "
        "amount is refused before anything else is looked at. It has no more than A and E"
        + said.en
        + "; chapter 11 shows one. "
        + proved.en
        + "Where a field has no value, "
        + ("its place is blank and stays. " if blank else "it is not there. ")
        + "All times are Beijing time."
        + EXTRA[facts.spec.kind].en,
        "*简单拒绝应答*针对未能成为请求的报文：其格式、MAC、签到、银行编号或金额在处理之前即被拒绝。"
        "它只有 A、E 类字段"
        + said.zh
        + "；第 11 章有示例。"
        + proved.zh
        + ("无值的字段仍占位，内容为空。" if blank else "无值的字段不出现。")
        + "时间均为北京时间。"
        + EXTRA[facts.spec.kind].zh,
    )
