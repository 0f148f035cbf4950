"""The chapter on a session's life: sign-on, keys, exchange, what wrong MACs lead to, drawn as a sequence."""

from frontends.session_delivery import ATTEMPTS_MAX
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.keying import keying
from qianzhi.cli.document.line_samples import title_of
from qianzhi.cli.document.page import Both, Page, as_both
from qianzhi.cli.document.samples import TITLES
from qianzhi.domain.requests import Kind
from qianzhi.domain.results import Result

OUT, BACK = "|------------------------->|", "|<-------------------------|"


def session(page: Page, facts: Facts) -> None:
    """Write the chapter."""
    page.chapter(Both("Life of the line", "线路过程"))
    _drawing(page, facts)
    rules = [*_sign_on_rules(facts), *KEY_RULES[_key_form(facts)](facts), *_mac_rules(facts)]
    page.items(rules)
    if facts.exchanged:
        keying(page, facts)


def _key_form(facts: Facts) -> str:
    rules = facts.profile.session
    return f"ours_{rules.delivery}" if rules.keys == "ours" else rules.keys


def _drawing(page: Page, facts: Facts) -> None:
    lines = [Both("  you                        we", "  贵方                      我方")]
    for arrow, words in _arrows(facts):
        lines.append(Both(f"   {arrow}   {words.en}", f"   {arrow}   {words.zh}"))
    page.drawing("\n".join(page.text(line) for line in lines))


def _arrows(facts: Facts) -> list[tuple[str, Both]]:
    """Return what goes to and fro on a first connection, as (arrow, words)."""
    names, short = facts.profile.table.management, facts.profile.transport.connection == "short"
    arrows: list[tuple[str, Both]] = []
    if not facts.queued:
        each = (
            Both("connect (for every message anew)", "建立连接（每条报文各一次）")
            if short
            else Both("connect", "建立连接")
        )
        arrows.append((OUT, each))
    if "sign_on" in names:
        arrows.append((OUT, title_of("sign_on")))
        answer = (
            Both("answer, with new keys", "应答，带新密钥")
            if _key_form(facts) == "ours_answer"
            else Both("answer", "应答")
        )
        arrows.append((BACK, answer))
    if _key_form(facts) == "ours_message":
        arrows += [
            (BACK, title_of("key_delivery")),
            (OUT, Both("answer, made with the new key", "应答，用新密钥")),
        ]
    if _key_form(facts) == "theirs":
        arrows += [(OUT, title_of("key_delivery")), (BACK, Both("answer", "应答"))]
    money = next(iter(facts.names_of(Kind.RECHARGE, Kind.PAY)), "")
    title = TITLES[Kind[facts.profile.table.transactions[money].kind.upper()]] if money else as_both("")
    arrows += [
        (OUT, Both(f"{title.en} and other requests", f"{title.zh}等业务请求")),
        (BACK, Both("answers", "应答")),
    ]
    arrows += [
        (OUT, Both("no answer? status query", "未收到应答？状态查询")),
        (BACK, Both("what became of it", "原交易结果")),
    ]
    if "echo" in names:
        arrows += [
            (OUT, title_of("echo")),
            (BACK, Both("answer (and the other way round)", "应答（反方向亦然）"))
            if facts.profile.session.echo_seconds
            else (BACK, Both("answer", "应答")),
        ]
    if "sign_off" in names:
        arrows += [(OUT, title_of("sign_off")), (BACK, Both("answer", "应答"))]
    return arrows


def _sign_on_rules(facts: Facts) -> list[Both]:
    if not facts.profile.session.sign_on:
        return [
            Both(
                "There is no sign-on: business requests may be sent at once.",
                "无须签到，可直接发送业务请求。",
            )
        ]
    code = facts.code_of(Result.NOT_SIGNED_ON)
    return [
        Both(
            f"Sign on first. Before that every business request hears {code} and is not carried out.",
            f"须先签到。签到前业务请求一律应答 {code}，不予受理。",
        ),
        Both(
            "The sign-on holds for the line as a whole, over all its connections, and lasts until you "
            "sign off; a new connection needs no new one, though signing on again does no harm.",
            "签到对整条线路的所有连接有效，直到签退为止。重新连接不必再签到，重复签到也无妨。",
        ),
    ]


def _no_key_rules(facts: Facts) -> list[Both]:
    return []


def _static_rules(facts: Facts) -> list[Both]:
    return [
        Both(
            "The MAC key is handed over beforehand and no message changes it; changing it is agreed "
            "between people.",
            "MAC 密钥事先交接，不经报文更换；更换密钥由双方另行约定。",
        )
    ]


def _renewal(facts: Facts) -> list[Both]:
    rules = facts.profile.session
    lines = [
        Both(
            "A key stays in force until another one takes its place; it does not run out, and signing "
            "off does "
            "not end it.",
            "密钥一直有效，直到被新密钥取代，不会自行失效，签退也不使其失效。",
        ),
        Both(
            f"For {rules.key_grace_seconds} s after a change the key before is still accepted, so that "
            "what was under way is not lost.",
            f"换钥后 {rules.key_grace_seconds} 秒内旧密钥仍可验证，在途报文不受影响。",
        ),
    ]
    if "key_request" in facts.profile.table.management:
        lines.append(
            Both("You may ask for a new key at any time after sign-on.", "签到后贵方可随时申请新密钥。")
        )
    return lines


def _message_rules(facts: Facts) -> list[Both]:
    rules = facts.profile.session
    lines = [
        Both(
            f"We make the MAC keys ({rules.key_bytes} bytes) and deliver them in a message of our own: "
            "right after every sign-on, "
            + (f"after {rules.key_hours} h, " if rules.key_hours else "")
            + "and when you ask. Do not send requests before you have answered the first delivery.",
            f"MAC 密钥（{rules.key_bytes} 字节）由我方产生并以专门报文下发：每次签到之后、"
            + (f"每 {rules.key_hours} 小时、" if rules.key_hours else "")
            + "以及贵方申请时。应答首次下发之前不要发送业务请求。",
        ),
        Both(
            "Check the delivery as shown below and answer it, approved, with a MAC field made under the "
            f"new key. From then on use the new key. Without an answer within {rules.answer_seconds} s "
            f"we send the same message again, {ATTEMPTS_MAX} times in all; the same delivery twice is "
            "answered twice.",
            "按下述方法校验后应答成功，应答的 MAC 域用新密钥计算，此后即使用新密钥。"
            f"{rules.answer_seconds} 秒内未获应答时我方原样重发，共 {ATTEMPTS_MAX} 次；"
            "收到重复下发时照样应答。",
        ),
    ]
    return lines + _renewal(facts)


def _answer_rules(facts: Facts) -> list[Both]:
    rules = facts.profile.session
    where = [title_of(name) for name in ("sign_on", "key_request") if name in facts.profile.table.management]
    return [
        Both(
            f"We make the MAC keys ({rules.key_bytes} bytes) and give them inside our approved answers to: "
            + ", ".join(text.en for text in where)
            + ". Check the key as shown below; use it from your next message on. If you lost our answer, "
            "ask again: until the key has been used you are told the same one.",
            f"MAC 密钥（{rules.key_bytes} 字节）由我方产生，随以下报文的成功应答下发："
            + "、".join(text.zh for text in where)
            + "。按下述方法校验后，从下一条报文起使用。若应答丢失可再次申请，新密钥启用之前得到的是同一把。",
        ),
        *_renewal(facts),
    ]


def _their_rules(facts: Facts) -> list[Both]:
    code = facts.code_of(Result.BAD_MAC)
    return [
        Both(
            "You make the MAC keys and deliver them to us, wrapped under the master key: after sign-on, "
            "before the first request, and as often as you wish. A key whose check value is wrong is "
            f"answered {code} and not taken. From our approved answer on use the new key.",
            "MAC 密钥由贵方产生，以主密钥加密后下发：签到之后、首笔业务之前，以及此后任意时间。"
            f"校验值不符时我方应答 {code}，不予启用。收到我方成功应答后即使用新密钥。",
        ),
        *_renewal(facts),
    ]


KEY_RULES = {
    "none": _no_key_rules,
    "static": _static_rules,
    "ours_message": _message_rules,
    "ours_answer": _answer_rules,
    "theirs": _their_rules,
}
AFTER_FAILURES = {
    "new_keys": Both("we deliver a new key", "我方下发新密钥"),
    "sign_off": Both("we take the line as signed off: sign on again", "我方视线路为已签退，请重新签到"),
    "close": Both("we close the connection", "我方关闭连接"),
}


def _mac_rules(facts: Facts) -> list[Both]:
    rules = facts.profile.session
    if facts.profile.mac is None:
        return []
    code = facts.code_of(Result.BAD_MAC)
    lines = [
        Both(
            f"A message with a missing or wrong MAC hears {code} and is not carried out.",
            f"MAC 缺失或错误的报文应答 {code}，不予受理。",
        )
    ]
    if rules.mac_failures_max:
        after = AFTER_FAILURES[rules.on_mac_failures]
        if rules.on_mac_failures == "new_keys" and facts.profile.session.delivery == "answer":
            after = Both("ask for a new key", "请申请新密钥")
        lines.append(
            Both(
                f"After {rules.mac_failures_max} wrong MACs in a row {after.en}.",
                f"连续 {rules.mac_failures_max} 次 MAC 错误后，{after.zh}。",
            )
        )
    return lines
