"""How a working key travels, with a delivery taken apart under the printed test master key."""

from qianzhi.cli.document.arithmetic import worked
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.line_samples import delivery_spec
from qianzhi.cli.document.page import Both, Page, code
from qianzhi.cli.document.samples import Sample
from qianzhi.wire.codec import get_path
from qianzhi.wire.keys import CHECK_BYTES, DeliverySpec, check_value, read_deliveries
from qianzhi.wire.mac import mac_input


def keying(page: Page, facts: Facts) -> None:
    """Write the section; the delivery is a sample, so that everything in it can be checked."""
    page.section(Both("How a key travels", "密钥的传送"))
    spec, sample = delivery_spec(facts.profile), _delivery(facts)
    page.items(
        [*_general(facts), *(_cups_rules(facts, spec) if spec.form == "cups" else _slot_rules(facts, spec))]
    )
    if sample is not None:
        _example(page, facts, spec, sample)


def _delivery(facts: Facts) -> Sample | None:
    return facts.sample("key_delivery", "request") or facts.sample("sign_on", "answer")


def _general(facts: Facts) -> list[Both]:
    return [
        Both(
            "**Master key.** 16 bytes (two-key 3DES), handed over beforehand in two parts by two people; "
            "it only wraps working keys.",
            "**主密钥。** 16 字节（双倍长 3DES），事先由双方各两人分段交接，只用于加密工作密钥。",
        ),
        Both(
            "**Wrapping.** A working key is encrypted under the master key with two-key 3DES in ECB "
            "mode, each block of 8 bytes by itself; decrypt it the same way. Every byte of a key has odd "
            "parity.",
            "**加密方式。** 工作密钥以主密钥做双倍长 3DES、ECB 模式加密，每 8 字节一组；解密同理。"
            "密钥各字节为奇校验。",
        ),
        Both(
            "**Check value.** Encrypt 8 zero bytes under the working key (DES for a key of 8 bytes, "
            f"two-key 3DES for one of 16); the first {CHECK_BYTES} bytes are its check value.",
            "**校验值。** 用工作密钥加密 8 个零字节（8 字节密钥用 DES，16 字节用双倍长 3DES），取前 "
            f"{CHECK_BYTES} 字节。",
        ),
    ]


def _cups_rules(facts: Facts, spec: DeliverySpec) -> list[Both]:
    security, single, double = map(facts.label, (spec.security, spec.single, spec.double))
    mac = facts.label(spec.mac.field) if spec.mac else ""
    return [
        Both(
            f"**Places.** The first digit of {security} says what the key is for (`1` PIN, `2` MAC), the "
            f"second its length (`0` 8 bytes, `6` 16 bytes). A key of 8 bytes stands in {single}; one of "
            f"16 bytes in {double}, and {single} is zero.",
            f"**位置。** {security} 第一位为密钥用途（`1` PIN，`2` MAC），第二位为长度（`0` 为 8 字节，"
            f"`6` 为 16 字节）。8 字节密钥放在 {single}；16 字节密钥放在 {double}，此时 {single} 填零。",
        ),
        Both(
            f"**MAC field of the delivery and of its answer.** {mac} holds 8 raw bytes: the first 4 "
            "bytes of the message's MAC under the *new* key (X9.9 for 8 bytes, X9.19 for 16; fields as "
            "in chapter 7), then the 4 bytes of its check value.",
            f"**下发及其应答的 MAC 域。** {mac} 为 8 个原始字节：前 4 字节是用*新*密钥计算的 MAC 前 4 "
            "字节（8 字节密钥用 X9.9，16 字节用 X9.19，字段清单见第 7 章），后 4 字节是新密钥的校验值。",
        ),
    ]


def _slot_rules(facts: Facts, spec: DeliverySpec) -> list[Both]:
    places = f"{facts.label(spec.mac_key)}, {facts.label(spec.mac_check)}"
    rules = [
        Both(
            f"**Places.** The wrapped MAC key and its check value stand in {places}: as bytes where the "
            f"field is binary, else as upper-case hex digits. The key takes {spec.slot_bytes} bytes; in "
            "a slot of 16 a key of 8 bytes is followed by 8 zero bytes.",
            f"**位置。** 加密后的 MAC 密钥及其校验值在 {places}：二进制域放原始字节，"
            f"文本域放大写十六进制字符。密钥占 {spec.slot_bytes} 字节；16 字节位置放 8 字节密钥时，后补 "
            "8 个零字节。",
        )
    ]
    if spec.pin_key:
        pins = f"{facts.label(spec.pin_key)}, {facts.label(spec.pin_check)}"
        rules.append(
            Both(
                f"A PIN key travels with it in {pins}. No message of this document uses it; keep or "
                "ignore it.",
                f"PIN 密钥随同下发，在 {pins}。本文各报文均不使用，可保存或忽略。",
            )
        )
    return rules


def _example(page: Page, facts: Facts, spec: DeliverySpec, sample: Sample) -> None:
    master = facts.keys["master"]
    delivered = read_deliveries(spec, sample.message, facts.profile.codec, master)
    path = (
        spec.mac_key if spec.form == "slots" else spec.double if len(delivered[0].key) == 16 else spec.single
    )
    wrapped = get_path(sample.message, path)
    shown = wrapped.hex().upper() if isinstance(wrapped, bytes) else str(wrapped)
    rows = [
        (Both("test master key", "测试主密钥"), code(master.hex().upper())),
        (Both(f"wrapped key, in {facts.label(path)}", f"密钥密文，在 {facts.label(path)}"), code(shown)),
        (Both("decrypted: the MAC key", "解密得 MAC 密钥"), code(delivered[0].key.hex().upper())),
        (
            Both("8 zero bytes under it", "用其加密 8 个零字节"),
            code(check_value(delivered[0].key).hex().upper()),
        ),
        (Both("check value", "校验值"), code(check_value(delivered[0].key)[:CHECK_BYTES].hex().upper())),
    ]
    part = sample.part
    names = {"request": Both("request", "请求"), "answer": Both("answer", "应答")}
    page.say(
        f"Worked example: sample *{page.text(sample.title)}, {names[part].en}*.",
        f"计算示例：示例“{page.text(sample.title)}”的{names[part].zh}。",
    )
    page.table((Both("what", "项目"), Both("value, hex", "值（十六进制）")), rows)
    if spec.form == "cups":
        _delivery_mac(page, facts, spec, sample, delivered[0].key)


def _delivery_mac(page: Page, facts: Facts, spec: DeliverySpec, sample: Sample, key: bytes) -> None:
    if spec.mac is None:
        return
    data = mac_input(spec.mac, sample.message, facts.profile.codec, sample.body)
    page.say("The MAC of the delivery is made over this text:", "下发报文的 MAC 针对以下文本计算：")
    page.drawing(data.decode("ascii", "replace"))
    steps = worked("by_length", "after", key, data)
    page.table(
        (Both("step", "步骤"), Both("result, hex", "结果（十六进制）")),
        [(step.words, code(step.data.hex().upper())) for step in steps],
    )
    field = get_path(sample.message, spec.mac.field)
    shown = field.hex().upper() if isinstance(field, bytes) else str(field)
    page.say(
        f"So {facts.label(spec.mac.field)} is `{shown}`: 4 bytes of MAC, 4 bytes of check value.",
        f"因此 {facts.label(spec.mac.field)} 为 `{shown}`：4 字节 MAC 加 4 字节校验值。",
    )
