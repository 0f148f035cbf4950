"""The chapter on transport for a bank whose files are put into a folder."""

from frontends.files_core import CUT, TOO_LONG, UNKNOWN, UNREADABLE
from frontends.profile_tables import FilesTable
from qianzhi.cli.document.facts import Facts
from qianzhi.cli.document.page import Both, Page, code


def files(page: Page, facts: Facts) -> None:
    """Say how files travel, when one is taken, and how its answers stand."""
    profile = facts.profile
    table = profile.table.files or FilesTable()
    one = (
        Both(f"a record of {table.record_bytes} bytes", f"一个 {table.record_bytes} 字节的定长记录")
        if table.record_bytes
        else Both("a line that ends with a line feed", "一行，以换行符结尾")
    )
    settled = Both("", "")
    if table.settled_seconds:
        seconds = f"{table.settled_seconds:g}"
        settled = Both(
            f" A file without a marker is taken when it has not changed for {seconds} s.",
            f"没有标志文件的，{seconds} 秒内不再变化即视为完整。",
        )
    page.items(
        [
            Both(
                "**Files.** You put files into the folder `in` of an FTP or SFTP server, whose address is "
                f"agreed separately; {one.en} is one message of this document, without any length header, of "
                f"at most {profile.frame.frame_bytes_max} bytes.",
                f"**文件。** 贵方将文件放入 FTP 或 SFTP 服务器的 `in` 目录，地址另行约定；{one.zh}即本文的"
                f"一条报文，不带长度头，最长 {profile.frame.frame_bytes_max} 字节。",
            ),
            Both(
                "**Whole files.** Write under a name that begins with a dot or ends in `.tmp` or `.part`, "
                "rename it when it is whole, and put an empty file `NAME.ok` beside it afterwards."
                + settled.en,
                "**完整性。** 上传时使用以点开头或以 `.tmp`、`.part` 结尾的名称，传完后改名，"
                "再放置空文件 `NAME.ok` 作为标志。" + settled.zh,
            ),
            Both(
                "**Answers.** When every message has its answer, an answer file of the same name appears in "
                "`out`: line n answers message n, each line ends with a line feed. A name that was used "
                "before gets `.2`, `.3` behind it. Take answer files away when you have read them.",
                "**应答。** 全部报文处理完后，`out` 目录出现同名应答文件：第 n 行应答第 n 条，"
                "每行以换行符结尾。用过的名称后加 `.2`、`.3`。应答文件读取后请自行删除。",
            ),
            Both(
                "**The same file again.** Send it whenever you are in doubt, unchanged: what was carried "
                "out is not carried out twice and has the same answer.",
                "**重送文件。** 有疑问时可原样重送：已处理的不会再次处理，应答相同。",
            ),
        ]
    )
    page.say(
        "A line of the answer file that begins with a question mark is no message, but a mark:",
        "应答文件中以问号开头的行不是报文，而是标记：",
    )
    page.table((Both("mark", "标记"), Both("meaning", "含义")), [(_code(mark), it) for mark, it in MARKS])


def _code(mark: bytes) -> Both:
    text = code(mark.decode("ascii").strip())
    return Both(text, text)


MARKS = (
    (
        UNKNOWN,
        Both(
            "what became of the message is not known: query it, or send it again",
            "该报文处理结果未知：请查询或重送",
        ),
    ),
    (UNREADABLE, Both("it cannot be read, and was not carried out", "无法解析，未处理")),
    (TOO_LONG, Both("it is too long, and was not carried out", "超长，未处理")),
    (CUT, Both("the last line has no end, and was not carried out", "末行不完整，未处理")),
)
