"""The chapter on MACs: the rule in numbered steps, the fields of every list, and one MAC worked out by
hand.
"""

from qianzhi.cli.document.answered import answer_rules
from qianzhi.cli.document.arithmetic import ALGORITHM_NAMES, DIGEST_NAMES, worked
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.mac_notes import parity, prefixes_inside
from qianzhi.cli.document.page import NOTHING, Both, Page, Text, code, joined
from qianzhi.cli.document.samples import Sample
from qianzhi.wire.algorithms import DIGESTS, expected_key
from qianzhi.wire.codec import get_path
from qianzhi.wire.mac import DEFAULT_LIST, MacSpec, fields_of, mac_input
from qianzhi.wire.text import SELECTIONS


def authentication(page: Page, facts: Facts) -> None:
    """Write the chapter; a dialect without MAC gets one sentence."""
    page.chapter(Both("Message authentication code (MAC)", "报文鉴别码（MAC）"))
    mac = facts.profile.mac
    if mac is None:
        page.say("Messages of this line carry no MAC.", "本线路报文不带报文鉴别码。")
        return
    _which(page, facts, mac)
    page.section(Both("The rule", "计算步骤"))
    page.steps(
        [
            *(_field_steps(facts, mac) if mac.covers == "fields" else _byte_steps(facts, mac)),
            *_end_steps(facts, mac),
        ]
    )
    if mac.covers == "fields":
        _lists(page, facts, mac)
    example = mac_example(facts)
    if example is not None:
        _example(page, facts, mac, example)


def mac_example(facts: Facts) -> Sample | None:
    """Return the request whose MAC is worked out: the first that moves money, else the first that carries
    one.
    """
    signed = [one for one in facts.samples if one.part == "request" and carries(facts, one)]
    money = [one for one in signed if one.name in facts.names_of_money()]
    return next(iter([*money, *signed]), None)


def carries(facts: Facts, sample: Sample) -> bool:
    """Tell whether a sample carries a MAC of the profile's rule, rather than none or a key delivery's own."""
    profile = facts.profile
    return (
        profile.mac is not None
        and bool(sample.key)
        and profile.mac_required(sample.message)
        and get_path(sample.message, profile.mac.field) is not None
    )


def _which(page: Page, facts: Facts, mac: MacSpec) -> None:
    required = joined(
        [facts.when(when) for when in facts.profile.table.protection.required], "; or ", "；或 "
    )
    page.items(
        [
            Both(
                f"**Algorithm.** {ALGORITHM_NAMES[mac.algorithm].en}.",
                f"**算法。** {ALGORITHM_NAMES[mac.algorithm].zh}。",
            ),
            Both(
                f"**Key.** {_lengths(facts, mac).en}; {_source(facts).en}.{parity(facts, mac).en}",
                f"**密钥。** {_lengths(facts, mac).zh}；{_source(facts).zh}。{parity(facts, mac).zh}",
            ),
            Both(f"**Place.** {facts.label(mac.field)}.", f"**位置。** {facts.label(mac.field)}。"),
            Both(
                f"**Which messages.** A right MAC is demanded of messages with {required.en}, in both "
                "directions.",
                f"**适用报文。** 双向报文凡符合 {required.zh} 者，均须带正确的 MAC。",
            ),
            *answer_rules(facts),
        ]
    )


def _lengths(facts: Facts, mac: MacSpec) -> Both:
    """Say how long the key is; keys that we make have one length."""
    rules = facts.profile.session
    if rules.keys == "ours":
        return Both(f"{rules.key_bytes} bytes", f"{rules.key_bytes} 字节")
    words = expected_key(mac.algorithm)
    return Both(words, words.replace(" or ", " 或 ").replace(" to ", " 至 ").replace(" bytes", " 字节"))


SOURCES = {
    "static": Both(
        "one key, handed over beforehand, that no message changes", "固定密钥，事先交接，不经报文更换"
    ),
    "ours": Both("the working key that we delivered last", "我方最近下发的工作密钥"),
    "theirs": Both("the working key that you delivered last", "贵方最近下发的工作密钥"),
    "none": Both("none", "无"),
}


def _source(facts: Facts) -> Both:
    return SOURCES[facts.profile.session.keys]


ON_THE_WIRE = Both("as they stand on the wire, filling included", "在线路上的内容，含填充字符")
AS_TEXT = {
    "xml": Both(
        "as text in the character set of the message, with `&`, `<` and `>` as they are",
        "按报文字符集编码的文本，`&`、`<`、`>` 不作转义",
    ),
    "pairs": Both(
        "in the character set of the message, before percent-encoding",
        "按报文字符集编码的文本，不作百分号转义",
    ),
    "delimited": Both("as they stand on the wire", "在线路上的内容"),
}


def _field_steps(facts: Facts, mac: MacSpec) -> list[Both]:
    before = (
        (Both("name and equals sign", "名称和等号"))
        if facts.spec.kind == "pairs"
        else Both("length prefix", "长度前缀")
    )
    listed = {path for paths in mac.lists.values() for path in paths}
    labels = [facts.label(path) for path in mac.with_prefix]
    if facts.spec.kind in ("xml", "delimited"):
        which = Both("", "")  # nothing stands before a value there
    elif not labels:
        which = Both(f", without {before.en}", f"，不含{before.zh}")
    elif listed <= set(mac.with_prefix):
        which = Both(f", each with its {before.en}", f"，均含{before.zh}")
    else:
        names = joined(labels)
        which = Both(
            f", without {before.en}, but with it for {names.en}",
            f"，不含{before.zh}，但 {names.zh} 含{before.zh}",
        )
    form = AS_TEXT.get(facts.spec.kind, ON_THE_WIRE)
    steps = [
        Both(
            f"Take the fields of the message's list (below), in the order of the list, {form.en}{which.en}."
            + prefixes_inside(facts, mac).en,
            f"按下表中该报文的清单次序，取各字段{form.zh}{which.zh}。" + prefixes_inside(facts, mac).zh,
        )
    ]
    if mac.take:
        parts = ", ".join(f"{facts.label(path)}: {size}" for path, size in mac.take.items())
        steps.append(
            Both(
                f"Of these fields only the first bytes count: {parts}.", f"下列字段只取前若干字节：{parts}。"
            )
        )
    if mac.selection == "cups":
        steps.append(
            Both(
                "In each of them turn letters to upper case; keep only `A`–`Z`, `0`–`9`, blank, comma "
                "and full stop; take blanks away at both ends, and make each run of blanks one blank.",
                "各字段内：字母转大写；只保留 `A`–`Z`、`0`–`9`、空格、逗号和句点；去掉首尾空格，"
                "连续空格压缩为一个。",
            )
        )
    absent = (
        Both("A field that is absent is left out together with its join.", "缺省的字段连同连接符一并略去。")
        if mac.absent == "skip"
        else Both(
            "A field that is absent gives an empty text, and its joins stay.",
            "缺省的字段以空串代替，连接符保留。",
        )
    )
    steps.append(absent)
    glue = Both("one blank", "一个空格") if mac.join == " " else Both(code(mac.join), code(mac.join))
    steps.append(
        Both(f"Join them with {glue.en} between them.", f"以{glue.zh}依次连接。")
        if mac.join
        else Both("Join them without anything between them.", "直接首尾相接，中间没有分隔。")
    )
    return steps


def _byte_steps(facts: Facts, mac: MacSpec) -> list[Both]:
    side = {
        "before": Both("before", "之前"),
        "after": Both("after", "之后"),
        "around": Both("before and after", "前后"),
    }[mac.covers]
    start = (
        Both("the message type", "消息类型")
        if facts.spec.kind == "iso8583"
        else Both("the first byte of the body", "报文首字节")
    )
    label = facts.label(mac.field)
    inner = (
        Both(", of the message before it becomes hex", "（转换为十六进制字符之前的报文）")
        if facts.spec.carried
        else Both("", "")
    )
    if mac.covers == "before":
        span = Both(
            f"from {start.en} to the last byte before {label}", f"从{start.zh}起到 {label} 之前的最后一个字节"
        )
    elif mac.covers == "after":
        span = Both(f"from the first byte after {label} to the end", f"从 {label} 之后第一个字节到报文结束")
    else:
        span = Both(
            f"from {start.en} to the end, without those of {label} itself, which leave no gap",
            f"从{start.zh}到报文结束，去掉 {label} 自身的字节，前后直接相接",
        )
    bits = (
        Both(", the MAC's bit in the bitmap set", "，位图中 MAC 的位已置 1")
        if facts.spec.kind == "iso8583"
        else NOTHING
    )
    return [
        Both(
            f"Write the whole message with its MAC still blank, everything else as it will be{bits.en}.",
            f"先按最终形式写出整条报文，MAC 暂留空，其余均为最终值{bits.zh}。",
        ),
        Both(
            f"Take every byte {side.en} the MAC: {span.en}{inner.en}.{_outside(facts).en}",
            f"取 MAC {side.zh}的全部字节：{span.zh}{inner.zh}。{_outside(facts).zh}",
        ),
    ]


def _outside(facts: Facts) -> Both:
    """Name what stands before the message and is not among the MAC's bytes."""
    outside = []
    if facts.profile.frame.kind not in ("none", "message") and not facts.profile.frame.keep:
        outside.append(Both("the length header of the line", "线路长度头"))
    if facts.spec.kind == "iso8583" and any(
        one.path.startswith("header.") for one in facts.spec.shapes[0].fields
    ):
        outside.append(Both("the header before the message type", "消息类型之前的报文头"))
    if not outside:
        return NOTHING
    names = joined(outside, " and ", "和")
    return Both(f" Without {names.en}.", f"不含{names.zh}。")


FORM_WORDS = {
    "hex8": Both("the first 4 bytes, as 8 upper-case hex digits", "取前 4 字节，写成 8 个大写十六进制字符"),
    "hex16": Both(
        "the first 8 bytes, as 16 upper-case hex digits", "取前 8 字节，写成 16 个大写十六进制字符"
    ),
    "hex32": Both(
        "the first 16 bytes, as 32 upper-case hex digits", "取前 16 字节，写成 32 个大写十六进制字符"
    ),
    "hex40": Both(
        "the first 20 bytes, as 40 upper-case hex digits", "取前 20 字节，写成 40 个大写十六进制字符"
    ),
    "hex64": Both("the 32 bytes, as 64 upper-case hex digits", "取 32 字节，写成 64 个大写十六进制字符"),
    "hex8_zeros16": Both(
        "the first 4 bytes as 8 upper-case hex digits, then 8 zeros: 16 characters",
        "取前 4 字节写成 8 个大写十六进制字符，后补 8 个 0，共 16 个字符",
    ),
    "ascii8": Both(
        "the first 4 bytes as 8 upper-case hex digits, which are the 8 bytes of the field",
        "取前 4 字节写成 8 个大写十六进制字符，这 8 个字符的字节即域的内容",
    ),
    "raw4": Both("the first 4 bytes, as they are", "取前 4 字节原样"),
    "raw8": Both("the first 8 bytes, as they are", "取前 8 字节原样"),
    "raw4_kcv4": Both(
        "the first 4 bytes, and 4 bytes of the key's check value", "取前 4 字节，后接密钥校验值 4 字节"
    ),
}


KEY_STEPS = {
    "before": Both(
        "Put the key's bytes (not its hex digits) before the result.",
        "在结果之前加上密钥的原始字节（不是十六进制字符）。",
    ),
    "after": Both(
        "Put the key's bytes (not its hex digits) behind the result.",
        "在结果之后加上密钥的原始字节（不是十六进制字符）。",
    ),
}


def _end_steps(facts: Facts, mac: MacSpec) -> list[Both]:
    name, form = ALGORITHM_NAMES[mac.algorithm], form_words(mac)
    key = [KEY_STEPS[mac.key_place]] if mac.algorithm in DIGESTS and mac.key_place in KEY_STEPS else []
    if mac.algorithm in DIGESTS:
        name = Both(DIGEST_NAMES[mac.algorithm], DIGEST_NAMES[mac.algorithm])
    return [
        *key,
        Both(
            f"Compute over the result, step by step as in the worked example: {name.en}.",
            f"对结果按下例逐步计算：{name.zh}。",
        ),
        Both(f"Put into {facts.label(mac.field)}: {form.en}.", f"写入 {facts.label(mac.field)}：{form.zh}。"),
    ]


def form_words(mac: MacSpec) -> Both:
    """Say how a MAC is written into its field."""
    words = FORM_WORDS[mac.form]
    if mac.case == "lower":
        return Both(words.en.replace("upper-case", "lower-case"), words.zh.replace("大写", "小写"))
    return words


def _lists(page: Page, facts: Facts, mac: MacSpec) -> None:
    page.section(Both("The lists", "字段清单"))
    page.say(
        f"Which list counts, {facts.label(mac.choose_by)} of the message says.",
        f"按报文的 {facts.label(mac.choose_by)} 选用清单。",
    )
    rows = []
    for name, paths in mac.lists.items():
        chosen = Both("any other", "其他") if name == DEFAULT_LIST else Both(code(name), code(name))
        if len(mac.lists) == 1 and name == DEFAULT_LIST:
            chosen = Both("every message", "全部报文")
        listed = ", ".join(map(facts.label, paths))
        rows.append((chosen, listed or Both("no MAC", "不带 MAC")))
    page.table((facts.label(mac.choose_by), Both("fields, in this order", "字段（按此次序）")), rows)


def _example(page: Page, facts: Facts, mac: MacSpec, sample: Sample) -> None:
    codec = facts.profile.codec
    page.section(Both("A worked example", "计算示例"))
    page.say(
        f"The MAC of sample *{page.text(sample.title)}, request*, under the test key "
        f"`{sample.key.hex().upper()}`"
        + (
            " (in the session of the samples it is the key that was delivered at sign-on)."
            if facts.exchanged
            else "."
        ),
        f"示例“{page.text(sample.title)}”请求的 MAC，测试密钥为 `{sample.key.hex().upper()}`"
        + ("（即示例会话中签到后得到的工作密钥）。" if facts.exchanged else "。"),
    )
    data = mac_input(mac, sample.message, codec, sample.body)
    if mac.covers == "fields":
        _pieces(page, facts, mac, sample)
    charset = str(facts.spec.tree.get("charset", "")) or facts.spec.tree.get("defaults", {}).get(
        "text", "gbk"
    )
    text = data.decode(charset, "replace")
    page.say(f"The input is {len(data)} bytes, in hex:", f"输入共 {len(data)} 字节，十六进制为：")
    page.hex(data)
    if text.isprintable():
        page.say("and as text:", "文本形式为：")
        page.drawing(text)
    steps = worked(mac.algorithm, mac.key_place, sample.key, data)
    page.table(
        (Both("step", "步骤"), Both("result, hex", "结果（十六进制）")),
        [(step.words, code(step.data.hex().upper())) for step in steps],
    )
    value = get_path(sample.message, mac.field)
    form = form_words(mac)
    page.say(
        f"Written as agreed ({form.en}), {facts.label(mac.field)} of the sample is {_field_words(value).en}.",
        f"按约定写法（{form.zh}），示例中 {facts.label(mac.field)} 为 {_field_words(value).zh}。",
    )


def _field_words(value: object) -> Both:
    """Write what stands in the MAC's field, its bytes too where they are not what is read."""
    if not isinstance(value, bytes):
        return Both(f"`{value}`", f"`{value}`")
    shown = value.hex().upper()
    if value.isalnum():
        return Both(f"`{value.decode()}` (bytes `{shown}`)", f"`{value.decode()}`（字节 `{shown}`）")
    return Both(f"the bytes `{shown}`", f"字节 `{shown}`")


def _pieces(page: Page, facts: Facts, mac: MacSpec, sample: Sample) -> None:
    """Show what each field of the list gives."""
    codec = facts.profile.codec
    rows: list[tuple[Text, ...]] = []
    for path in fields_of(mac, sample.message):
        data = codec.field_bytes(path, sample.message, path in mac.with_prefix)
        if data is None:
            if mac.absent == "empty":
                rows.append((facts.label(path), Both("absent", "缺省"), Both("(empty)", "（空）")))
            continue
        taken = data[: mac.take[path]] if path in mac.take else data
        kept = SELECTIONS[mac.selection](taken)
        rows.append((facts.label(path), code(_shown(taken)), code(_shown(kept))))
    page.table((Both("field", "字段"), Both("as taken", "所取内容"), Both("goes in as", "参与计算")), rows)


def _shown(data: bytes) -> str:
    text = data.decode("gbk", "replace")
    return text if text.isprintable() and "\ufffd" not in text else data.hex().upper()
