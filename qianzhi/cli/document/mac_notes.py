"""What a program's author asks about a MAC's key and fields that the rule itself leaves open."""

from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import NOTHING, Both
from qianzhi.wire.mac import MacSpec

DES = frozenset({"x99", "x919", "by_length", "cbc3des", "pos_ecb"})


def parity(facts: Facts, mac: MacSpec) -> Both:
    """Say that a key's parity is free, where it is agreed and no rule of delivery sets it."""
    if mac.algorithm not in DES or facts.profile.session.keys != "static":
        return NOTHING
    return Both(
        " Its parity bits are not looked at, and those of the test key are not set: use a library's call "
        "that does not check them.",
        "不检查密钥的奇偶校验位，测试密钥也未设置；请使用不校验奇偶的库函数。",
    )


def prefixes_inside(facts: Facts, mac: MacSpec) -> Both:
    """Say what becomes of the length prefixes of a field's parts, where a field under the MAC has such."""
    listed = {path for paths in mac.lists.values() for path in paths}
    fields = (one for shape in facts.spec.shapes for one in shape.everything() if one.path in listed)
    if not any(part.form and part.form.prefix for one in fields for part in one.children):
        return NOTHING
    return Both(
        " A length prefix of a part inside a field belongs to the field's value and stays.",
        "字段内部各部分自带的长度前缀属于字段内容，应予保留。",
    )
