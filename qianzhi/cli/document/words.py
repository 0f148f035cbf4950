"""Plain words, in both languages, for the rows that a dialect is made of: types, encodings, prefixes,
paddings.

The keys are those of `wire.rows` and `frontends.transforms`; a test holds that none of them is without its
words.
"""

from qianzhi.cli.document.page import NOTHING, Both
from qianzhi.cli.document.specs import Form

TYPES = {
    "n": Both("digits", "数字"),
    "an": Both("letters and digits", "字母和数字"),
    "ans": Both("text", "文本"),
    "z": Both("track data", "磁道数据"),
    "xn": Both("C or D, then digits", "C 或 D 加数字"),
    "dec": Both("decimal number", "十进制数"),
    "b": Both("bytes", "字节"),
}
TYPES_LONG = {
    "n": Both("only the digits 0 to 9; no sign, no blank", "只用数字 0 至 9，不带符号和空格"),
    "an": Both("ASCII letters, digits and blanks", "ASCII 字母、数字和空格"),
    "ans": Both("any text without control characters", "不含控制字符的任意文本"),
    "z": Both("the characters of a magnetic stripe, `=` as separator", "磁条字符，以 `=` 分隔"),
    "xn": Both("`C` (credit) or `D` (debit), then digits", "`C`（贷）或 `D`（借）后接数字"),
    "dec": Both(
        "digits with at most one full stop between them, such as `50.00`",
        "数字，中间至多一个小数点，如 `50.00`",
    ),
    "b": Both("bytes of any value", "任意值的字节"),
}
ENCODINGS = {
    "ascii": Both("ASCII", "ASCII"),
    "gbk": Both("GBK", "GBK"),
    "gb18030": Both("GB18030", "GB18030"),
    "utf-8": Both("UTF-8", "UTF-8"),
    "bcd": Both("packed BCD", "压缩 BCD"),
    "bcd_left": Both("packed BCD, left-aligned", "左靠压缩 BCD"),
    "ebcdic": Both("EBCDIC", "EBCDIC"),
    "nibbles": Both("packed with its neighbours", "与相邻部分一起压缩"),
    "raw": Both("as they are", "原样"),
    "hex": Both("as hex digits", "十六进制字符"),
}
ENCODINGS_LONG = {
    "ascii": Both("one byte for each character, ASCII", "每个字符一个字节，ASCII 码"),
    "gbk": Both(
        "GBK: one byte for an ASCII character, two bytes for a Chinese one; lengths count bytes",
        "GBK：ASCII 字符一个字节，汉字两个字节；长度按字节计",
    ),
    "gb18030": Both(
        "GB18030: one byte for an ASCII character, two or four for others; lengths count bytes, and a "
        "character is never cut",
        "GB18030：ASCII 字符一个字节，其他字符两个或四个字节；长度按字节计，不截断半个汉字",
    ),
    "utf-8": Both(
        "UTF-8: one byte for an ASCII character, three for a Chinese one as a rule",
        "UTF-8：ASCII 字符一个字节，汉字一般三个字节",
    ),
    "bcd": Both(
        "two digits in each byte; an odd number of digits has a zero nibble in front",
        "每字节两位数字；位数为奇数时，最前面补一个 0 半字节",
    ),
    "bcd_left": Both(
        "two digits in each byte; an odd number of digits has a zero nibble behind",
        "每字节两位数字；位数为奇数时，最后面补一个 0 半字节",
    ),
    "ebcdic": Both(
        "one byte for each character, EBCDIC (code page 500)", "每个字符一个字节，EBCDIC（代码页 500）"
    ),
    "nibbles": Both(
        "its digits stand directly behind those of the part before, two digits in each byte of the whole "
        "field",
        "其数字紧接前一部分的数字，整个域每字节两位数字",
    ),
    "raw": Both("the bytes themselves", "字节本身，不作转换"),
    "hex": Both(
        "two upper-case hex digits for each byte; the length in the tables counts the bytes that they "
        "stand for",
        "每个字节写成两个大写十六进制字符；表中长度按所代表的字节计",
    ),
}
PREFIXES = {
    "fixed": NOTHING,
    "element": NOTHING,
    "column": NOTHING,
    "rest": Both("to the end of its field", "至所在域末尾"),
    "L": Both("1 length digit before it", "前有 1 位长度"),
    "LL": Both("2 length digits before it", "前有 2 位长度"),
    "LLL": Both("3 length digits before it", "前有 3 位长度"),
    "LLLL": Both("4 length digits before it", "前有 4 位长度"),
    "LL_bcd": Both("1 byte of BCD length before it", "前有 1 字节 BCD 长度"),
    "LLL_bcd": Both("2 bytes of BCD length before it", "前有 2 字节 BCD 长度"),
    "LL_ebcdic": Both("2 EBCDIC length digits before it", "前有 2 位 EBCDIC 长度"),
    "LLL_ebcdic": Both("3 EBCDIC length digits before it", "前有 3 位 EBCDIC 长度"),
    "binary_1": Both("1 byte of binary length before it", "前有 1 字节二进制长度"),
    "binary_2": Both("2 bytes of binary length before it", "前有 2 字节二进制长度"),
}
PADDINGS = {
    "none": Both("exactly that long, nothing is filled in", "长度必须正好，不填充"),
    "zeros_left": Both("right-aligned, filled with zeros on the left", "右靠，左补 0"),
    "spaces_right": Both("left-aligned, filled with blanks on the right", "左靠，右补空格"),
    "spaces_left": Both("right-aligned, filled with blanks on the left", "右靠，左补空格"),
    "spaces_kept": Both(
        "left-aligned, blanks on the right that belong to the value", "左靠，右补空格，空格视为内容"
    ),
    "nul_right": Both("left-aligned, filled with zero bytes on the right", "左靠，右补零字节"),
}
PADDINGS_SHORT = {
    "none": NOTHING,
    "zeros_left": Both("zeros on the left", "左补 0"),
    "spaces_right": Both("blanks on the right", "右补空格"),
    "spaces_left": Both("blanks on the left", "左补空格"),
    "spaces_kept": Both("blanks on the right, kept", "右补空格且保留"),
    "nul_right": Both("zero bytes on the right", "右补零字节"),
}
PACKED = frozenset({"bcd", "bcd_left"})


def format_words(form: Form | None) -> Both:
    """Say in a table's cell how a value is written."""
    if form is None:
        return Both("holds others", "包含下级")
    words = [TYPES[form.type], ENCODINGS[form.encoding]] if form.type else [Both("parts", "由若干部分组成")]
    words.append(prefix_words(form))
    if form.prefix == "fixed" and form.type not in ("", "b") and form.encoding not in {*PACKED, "nibbles"}:
        words.append(PADDINGS_SHORT[form.padding])
    kept = [text for text in words if text.en]
    return Both(", ".join(text.en for text in kept), "，".join(text.zh for text in kept))


def prefix_words(form: Form) -> Both:
    """Say which length stands before a value and what it counts; empty where there is none."""
    words = PREFIXES.get(form.prefix, NOTHING)
    if not words.en or form.prefix == "rest":
        return words
    counted = COUNTED[form.unit or ("digits" if form.encoding in {*PACKED, "hex"} else "bytes")]
    return Both(f"{words.en} (counts {counted.en})", f"{words.zh}（按{counted.zh}计）")


COUNTED = {"digits": Both("digits", "数字位数"), "bytes": Both("bytes", "字节数")}


def length_words(form: Form | None) -> Both:
    """Say in a table's cell how long a value is."""
    if form is None or not form.length:
        return NOTHING
    if form.prefix != "fixed":
        return Both(f"up to {form.length}", f"最长 {form.length}")
    if form.encoding in PACKED:
        size = (form.length + 1) // 2
        words = "1 byte" if size == 1 else f"{size} bytes"
        return Both(f"{form.length} (in {words})", f"{form.length}（{size} 字节）")
    if form.encoding == "hex":
        return Both(
            f"{form.length} ({2 * form.length} hex digits)", f"{form.length}（{2 * form.length} 个字符）"
        )
    return Both(str(form.length), str(form.length))


# What the values of the domain are, wherever a profile puts them: in a request …
TAKEN = {
    "serial": Both(
        "your serial of this request; unique within its business date", "贵方本笔流水号，营业日内唯一"
    ),
    "date": Both("business date", "营业日期"),
    "phone": Both("customer's phone number", "客户手机号码"),
    "amount_fen": Both("amount", "金额"),
    "bill": Both(
        "serial of the bill that is paid, as the query of what is owed gave it",
        "所缴账单的流水，取自欠费查询应答",
    ),
    "bank_number": Both("bank number", "银行编号"),
    "repeat": Both(
        "repeat flag: 1 when the same serial is sent again, else 0 or no value",
        "重发标志：同一流水重发填 1，否则填 0 或空",
    ),
    "own_serial": Both("serial of this message itself", "本条报文自己的流水号"),
    "count": Both("number of approved payments of the day", "当日成功缴费充值笔数"),
    "reversed_count": Both("number of payments reversed", "其中已冲正笔数"),
    "reversed_fen": Both("amount reversed", "其中已冲正金额"),
}
ORIGINALS = {
    "serial": Both("serial of the original", "原交易流水号"),
    "date": Both("business date of the original", "原交易营业日期"),
    "amount_fen": Both("amount of the original, which must be the same", "原交易金额，必须一致"),
}
COMPARED = {
    "date": Both("business date that is compared", "所核对的营业日期"),
    "amount_fen": Both(
        "sum of the approved recharges and payments, reversed ones included",
        "成功充值缴费的总金额，含后来冲正的",
    ),
}
OWED_TOTAL = Both("total owed, see 10.1", "欠费总额，见第 10.1 节")
OUR_TOTAL = Both("our sum of the approved recharges and payments", "我方成功充值缴费总金额")
# … and in an answer.
GIVEN = {
    "order": Both(
        "our work order's number; keep it for questions and reconciliation",
        "我方充值工单号，查询和对账时使用",
    ),
    "amount_fen": Both("amount", "金额"),
    "balance_fen": Both("customer's balance afterwards", "交易后客户余额"),
    "bills": Both("number of bills listed", "所列账单数"),
    "name": Both("customer's name", "客户名称"),
    "result_text": Both(
        "the result in words, for people only; programs look at the code",
        "结果说明，仅供阅读；程序只看返回码",
    ),
    "now": Both("our time of answering", "我方应答时间"),
    "count": Both("our number of approved payments", "我方成功笔数"),
    "reversed_count": Both("our number of reversals", "我方冲正笔数"),
    "reversed_fen": Both("our amount reversed", "我方冲正金额"),
    "date": Both("business date", "营业日期"),
}
BILL_COLUMNS = {
    "serial": Both("serial of the bill, to be quoted when it is paid", "账单流水，缴费时引用"),
    "month": Both("month that the bill is for", "账期"),
    "principal_fen": Both("what is owed for the month, without late fee", "当月欠费，不含违约金"),
    "late_fee_fen": Both("late fee of today", "截至当日的违约金"),
    "total_fen": Both("principal and late fee together", "欠费与违约金合计"),
}
GIVEN_WITH_APPROVAL = frozenset({"amount_fen", "balance_fen", "bills", "settled_us"})


def transform_words(transform: str) -> Both:
    """Say how a transform writes a value, in a table's cell; empty where there is nothing to add."""
    name, _, argument = transform.partition(":")
    made = TRANSFORMS.get(name)
    return Both(made.en.format(argument), made.zh.format(argument)) if made else NOTHING


TRANSFORMS = {
    "text": NOTHING,
    "digits": Both("exactly {0} digits", "必须是 {0} 位数字"),
    "word": Both("1 to {0} ASCII letters and digits", "1 至 {0} 个 ASCII 字母或数字"),
    "fen": Both("in fen (1/100 yuan), {0} digits with leading zeros", "以分为单位，{0} 位，左补 0"),
    "fen_bare": Both(
        "in fen (1/100 yuan), up to {0} digits, no leading zeros", "以分为单位，最多 {0} 位，不补零"
    ),
    "yuan": Both(
        "in yuan with two decimals and no sign, such as `50.00`", "以元为单位，两位小数，无符号，如 `50.00`"
    ),
    "number": Both("number of up to {0} digits", "最多 {0} 位的数字"),
    "number_bare": Both("number of up to {0} digits, no leading zeros", "最多 {0} 位的数字，不补 0"),
    "count": NOTHING,
    "mmdd": Both(
        "its first four digits are month and day, of a date from eleven months ago to one month ahead",
        "前四位为月日，指此前十一个月至此后一个月之间的日期",
    ),
    "date8": Both("YYYYMMDD", "年月日 YYYYMMDD"),
    "date6": Both("YYMMDD", "年月日 YYMMDD"),
    "date_head": Both("its first eight digits are the date, YYYYMMDD", "前八位为年月日 YYYYMMDD"),
    "date_mmdd": Both("MMDD", "月日 MMDD"),
    "flag": Both("0 or 1", "0 或 1"),
    "zeros_left": Both("with leading zeros, {0} digits", "左补 0，共 {0} 位"),
    "spaces_right": Both("with trailing blanks, {0} characters", "右补空格，共 {0} 位"),
    "tail": Both("its last {0} characters", "取最后 {0} 位"),
    "head": Both("its first {0} characters", "取前 {0} 位"),
    "clock": Both("time as {0}", "时间 {0}"),
    "stamp": Both("time as {0}", "时间 {0}"),
    "balance": Both("with its sign, C for money that is there, D for a debt", "带符号，C 为有余额，D 为欠款"),
    "response_mti": Both("message type of the answer: third digit plus one", "应答类型：第三位加一"),
}
