"""How the parts of a field that holds others follow each other, in words."""

from typing import Any

from qianzhi.cli.document.page import NOTHING, Both, code, joined
from qianzhi.cli.document.specs import Field


def layout_words(field: Field) -> Both:
    """Say how the parts of a field that holds others follow each other."""
    tree = field.tree
    if field.layout == "tagged":
        size, digits = tree.get("tag_length", 2), tree.get("length_digits", 0)
        after = (
            Both(f"then {digits} length digits, then", f"再 {digits} 位长度，然后是")
            if digits
            else Both("then", "其后为")
        )
        return Both(
            f"a tag of {size} characters, {after.en} what belongs to the tag",
            f"先是 {size} 个字符的标签，{after.zh}该标签的内容",
        )
    if field.layout == "case":
        tag = code(field.label.rpartition(".")[2])
        return joined([Both(f"behind the tag {tag}", f"标签 {tag} 之后"), _open_words(tree)], "", "")
    if field.layout == "parts" and field.form is not None and field.form.encoding in PACKED_WHOLE:
        return PACKED_WHOLE[field.form.encoding]
    if field.layout == "parts":
        return joined(
            [Both("its parts stand one behind the other", "各部分依次排列"), _open_words(tree)], "", ""
        )
    if field.layout == "tlv":
        return Both("BER-TLV: tag, length, value, and so on", "BER-TLV 结构：标签、长度、值，依次排列")
    if field.layout == "repeat":
        counted = tree.get("counted_by", "")
        if counted:
            counted = f"{field.label.rpartition('.')[0]}.{counted}".lstrip(".")
            return Both(
                f"one entry behind the other, as many as {code(counted)} says",
                f"各条目依次排列，条数见 {code(counted)}",
            )
        if "inner" in tree or not field.label.startswith(("F", "body.")):
            return Both(
                "a single value with delimiters, see chapter 4",
                "含分隔符的一个值，写法见第 4 章",
            )
        return Both("one entry behind the other, to the end of the field", "各条目依次排列，至该域末尾")
    if field.entries_max and not field.layout:
        return Both("the element comes once for each entry", "该元素按条目数重复出现")
    return NOTHING


PACKED_WHOLE = {
    "bcd": Both(
        "the digits of its parts in a row, packed as a whole: two digits in each byte, an odd number "
        "with a zero nibble in front",
        "各部分的数字首尾相接后整体压缩，每字节两位；总位数为奇数时最前面补 0 半字节",
    ),
    "bcd_left": Both(
        "the digits of its parts in a row, packed as a whole: two digits in each byte, an odd number "
        "with a zero nibble behind",
        "各部分的数字首尾相接后整体压缩，每字节两位；总位数为奇数时最后面补 0 半字节",
    ),
}


def _open_words(tree: dict[str, Any]) -> Both:
    if not tree.get("open"):
        return NOTHING
    return Both(
        "; it may end after any part, and parts left out before the last one are filled with blanks",
        "；可在任一部分之后结束，其前缺省的部分填空格",
    )
