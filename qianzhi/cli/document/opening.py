"""The first chapter: what the line is for, who is who, and which convention it follows."""

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.line_samples import title_of
from qianzhi.cli.document.page import Both, Page, code, joined
from qianzhi.cli.document.samples import TITLES
from qianzhi.domain.requests import Kind


def purpose(page: Page, facts: Facts) -> None:
    """Say what the document and the line are for, and who is who."""
    profile = facts.profile
    page.title(
        Both(
            f"{facts.title.en}: interface for phone recharge and payment",
            f"{facts.title.zh}：话费充值缴费接口说明",
        )
    )
    page.chapter(Both("What this is", "概述"))
    page.say(
        "This document describes everything that the bank's side needs in order to let its customers ask "
        "what a phone owes, recharge it and pay its bills. *You* are the bank (or vendor) whose system "
        "asks; *we* are the recharge platform, which answers. You are the client and we are the server: "
        "you open the connection and you begin every business transaction. A recharge counts only once "
        "we have answered that it is approved.",
        "本文说明银行方为客户办理话费查询、充值和缴费所需的全部接口内容。"
        "*贵方*指发起交易的银行（或代理商）系统，*我方*指充值平台。贵方为客户端，我方为服务端："
        "连接由贵方建立，业务交易均由贵方发起；只有我方应答成功，充值缴费才算完成。",
    )
    kinds = [TITLES[Kind[row.kind.upper()]] for row in profile.table.transactions.values()]
    lines = [title_of(name) for name in profile.table.management]
    page.table(
        (Both("item", "项目"), Both("value", "内容")),
        [
            (Both("name of the line", "线路名称"), code(profile.name)),
            (Both("bank numbers", "银行编号"), ", ".join(map(code, profile.numbers))),
            (Both("transactions", "业务交易"), joined(dict.fromkeys(kinds))),
            (Both("messages about the line", "线路管理报文"), joined(lines) if lines else Both("none", "无")),
            (Both("transport", "传输方式"), _transport_words(facts)),
            (Both("messages", "报文"), _kind_words(facts)),
        ],
    )
    page.section(Both("Which convention it follows", "所依据的惯例"))
    _pattern(page, profile.pattern if page.language == "en" else profile.table.pattern_zh or PATTERN_ZH)
    page.say(
        "All keys, phone numbers, serials and times in the examples are made up for this document. Every "
        "example was made by the platform's own programs under the test keys that are printed here; your "
        "own keys are handed over separately and stand nowhere in this document.",
        "示例中的密钥、号码、流水号和时间均为本文虚构。所有示例报文都由平台程序在本文所列测试密钥下生成；"
        "正式密钥另行交接，本文不含任何正式密钥。",
    )


PATTERN_ZH = (
    "本接口参照公开的行业惯例制定，字段、编码和交易的约定以本文为准；"
    "其中我方自定的增补内容均已在本文各章写明。本文不是任何一家真实银行的接口规范。"
)


def _pattern(page: Page, text: str) -> None:
    """Write what the profile says of itself, its lines that begin with a dash as a list."""
    paragraph: list[str] = []
    items: list[str] = []
    for line in map(str.strip, text.strip().splitlines()):
        if line.startswith("- "):
            items.append(line[2:])
        elif items and not items[-1].endswith((".", ";", "。", "；")):
            items[-1] += f" {line}"
        elif items:
            _flush(page, paragraph, items)
            paragraph, items = [line], []
        else:
            paragraph.append(line)
    _flush(page, paragraph, items)


def _flush(page: Page, paragraph: list[str], items: list[str]) -> None:
    glue = " " if page.language == "en" else ""
    if paragraph:
        words = glue.join(paragraph)
        page.say(words, words)
    if items:
        page.items(items)


def _transport_words(facts: Facts) -> Both:
    transport = facts.profile.transport
    if facts.engine == "files":
        return Both("files in a folder, a line for each message", "目录文件，每行一条报文")
    if facts.queued:
        engine = ENGINES[facts.profile.engine]
        return Both(f"message queue, {engine}", f"消息队列，{engine}")
    if transport.connection == "short":
        return Both("TCP, a connection for each message", "TCP 短连接，每笔一条连接")
    return Both("TCP, long duplex connections", "TCP 长连接，全双工")


ENGINES = {"zeromq": "ZeroMQ", "rabbitmq": "RabbitMQ (AMQP 0-9-1)", "ibmmq": "IBM MQ"}
KINDS = {
    "iso8583": Both("ISO 8583", "ISO 8583"),
    "xml": Both("XML", "XML"),
    "fixed": Both("fixed width", "定长报文"),
    "delimited": Both("columns with a delimiter between them", "分隔符报文"),
    "pairs": Both("name=value pairs", "键值对报文"),
}


def _kind_words(facts: Facts) -> Both:
    words = KINDS[facts.spec.kind]
    if facts.spec.carried == "hex":
        return Both(f"{words.en}, carried as hex digits", f"{words.zh}，以十六进制字符承载")
    return words
