"""What the bank's engineers must know about TLS on their line."""

from qianzhi.cli.document.page import Both, code, joined
from qianzhi.link.tables import TlsTable


def in_the_clear() -> Both:
    """Say that a line is not protected."""
    return Both(
        "There is no TLS on this line: run it over a leased line or a VPN.",
        "线路上不使用 TLS，应走专线或 VPN。",
    )


def protected(table: TlsTable, host: str) -> Both:
    """Say how a line to a host of ours is protected; certificates themselves are handed over."""
    asked = bool(table.ca or table.pins)
    lines = [
        Both(
            f"TLS {table.minimum} or newer, from the first byte; a connection in the clear is closed.",
            f"全程 TLS {table.minimum} 或更高版本，明文连接即被关闭。",
        ),
        Both(
            "Check that our certificate is signed by the authority that was handed over to you and is for "
            f"the host of {code(host)}.",
            f"须校验我方证书由交接给贵方的 CA 签发，且主机名与 {code(host)} 相符。",
        ),
    ]
    if asked:
        names = joined(map(code, table.names), " or ", "或")
        named = (
            Both(f", with the name {names.en}", f"，证书名称为 {names.zh}") if table.names else Both("", "")
        )
        signed = (
            Both("a certificate of an authority that was named to us", "由事先登记的 CA 签发的证书")
            if table.ca
            else Both("exactly the certificate that was named to us", "与登记完全一致的证书")
        )
        lines.append(
            Both(
                f"Show a certificate of your own: {signed.en}{named.en}. An expired, revoked or unknown one "
                "is refused in the handshake.",
                f"贵方须出示客户端证书：{signed.zh}{named.zh}。过期、吊销或未登记的证书在握手时被拒绝。",
            )
        )
    return joined(lines, " ", "")
