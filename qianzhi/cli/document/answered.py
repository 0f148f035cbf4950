"""What an engineer must know about the MACs of our answers: which carry one, under which key, and what a
wrong one means.
"""

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import NOTHING, Both
from qianzhi.domain.results import Result

YOUR_ANSWERS = Both(
    "**Your answers.** An answer whose MAC is wrong, or missing where one is due, is no answer to us: we go "
    "on waiting for the right one, and when none comes in time the outcome is open.",
    "**贵方应答。** MAC 错误的应答，以及应有而没有 MAC 的应答，我方视同未收到：继续等待，逾时结果未知。",
)


def answer_rules(facts: Facts) -> list[Both]:
    """Return the rules on the MACs of our answers, for a dialect that has one; of a network's, its own."""
    if not facts.profile.table.transactions:
        return [YOUR_ANSWERS]
    return [
        Both(
            "**Our answers.** Check their MAC before you believe them. An answer whose MAC is wrong, or "
            "missing "
            "where one is due, counts as no answer: conclude nothing from it and go on as chapter 8.2 says.",
            "**我方应答。** 须先校验 MAC 再采信。MAC 错误的应答，以及应有而没有 MAC 的应答，视同未收到应答："
            "不得据此下结论，按第 8.2 节继续。",
        ),
        _without(facts),
        _under_which_key(facts),
        Both(
            "**The first day.** When every answer fails your check, the two sides differ in key or "
            "rule, and our "
            f"{facts.code_of(Result.BAD_MAC)} fails it as well, since it is made under our key. Read "
            "the code "
            "then for diagnosis alone; follow the worked example below with your program, then compare keys.",
            "**首日联调。** 若所有应答都校验失败，说明双方密钥或算法不一致；此时我方的 "
            f"{facts.code_of(Result.BAD_MAC)} 也用我方密钥计算，同样校验失败。这时返回码只用于排查："
            "先用贵方程序验算下例，再核对密钥。",
        ),
    ]


def _without(facts: Facts) -> Both:
    """Say which answers carry no MAC: those to messages that the rule does not name."""
    unsupported = facts.code_of(Result.UNSUPPORTED)
    silence = NOTHING
    if "mti" in facts.profile.table.match.answer:  # or two ends would answer each other for ever
        silence = Both(
            " A message of an answer's type that this document does not name is not answered at all.",
            "本文未列的应答类报文一律不予应答。",
        )
    keyless = (
        Both(
            "; nor does anything before the very first key of the line", "；线路首把密钥启用之前的应答也不带"
        )
        if facts.exchanged
        else NOTHING
    )
    return Both(
        "**Without MAC** are only the answers to messages that the rule above does not name, such as the "
        f"{unsupported} to an unknown message{keyless.en}. No such answer settles anything about money."
        f"{silence.en}",
        f"**不带 MAC 的应答**只有对上述范围之外报文的应答，例如对未知报文的 {unsupported}{keyless.zh}。"
        f"这类应答对资金不作任何结论。{silence.zh}",
    )


def _under_which_key(facts: Facts) -> Both:
    if not facts.exchanged:
        return Both(
            "**Under which key.** Always the agreed one, whatever the request's MAC was.",
            "**所用密钥。** 一律为约定的密钥，与请求的 MAC 是否正确无关。",
        )
    return Both(
        "**Under which key.** The key under which the request's MAC was right, also while the one before is "
        f"still accepted. A refusal that did not get so far ({_early(facts)}) is made under the key "
        "that last "
        "proved right, or, while none has, under the one delivered last; signing off changes no key.",
        "**所用密钥。** 使请求 MAC 验证通过的那把，旧密钥宽限期内亦然。未到此步的拒绝"
        f"（{_early(facts)}）使用最近一次验证通过的密钥，尚无验证通过者则用最近下发的一把；签退不改变密钥。",
    )


def _early(facts: Facts) -> str:
    results = [Result.BAD_MAC, *([Result.NOT_SIGNED_ON] if facts.profile.session.sign_on else [])]
    return ", ".join(map(facts.code_of, results))
