"""The Markdown of a document set as one self-contained HTML page, calm on a screen and on paper."""

from html import escape

from markdown_it import MarkdownIt

from qianzhi.cli.document.page import Language

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 3rem 2rem 5rem; background: #fff; color: #1d2329;
  font: 15px/1.6 "Helvetica Neue", Arial, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
    sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.25; font-weight: 600; margin: 0 0 2rem; }
h2 { font-size: 1.4rem; font-weight: 600; margin: 3rem 0 1rem; padding-top: 1rem;
  border-top: 1px solid #d9dee3; }
h3 { font-size: 1.12rem; font-weight: 600; margin: 2.2rem 0 .7rem; }
h4 { font-size: 1rem; font-weight: 600; margin: 1.4rem 0 .5rem; color: #3d4852; }
p, li { max-width: 48rem; }
li { margin: .25rem 0; }
code, pre { font-family: "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Noto Sans Mono CJK SC",
  monospace; }
code { font-size: .88em; background: #f3f5f7; padding: .08em .3em; border-radius: 3px;
  overflow-wrap: anywhere; }
td code { overflow-wrap: normal; }
td:last-child code { overflow-wrap: anywhere; }
pre { background: #f6f8f9; border: 1px solid #e3e8ec; border-radius: 4px; padding: .8rem 1rem;
  overflow-x: auto;
  font-size: .82rem; line-height: 1.45; }
pre code { background: none; padding: 0; font-size: inherit; overflow-wrap: normal; }
pre code.language-hex { white-space: pre-wrap; overflow-wrap: anywhere; word-break: break-all; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0 1.4rem; font-size: .88rem;
  line-height: 1.45; }
th { text-align: left; font-weight: 600; color: #52606d; border-bottom: 1px solid #aeb8c2;
  padding: .35rem .6rem .35rem 0; }
td { vertical-align: top; border-bottom: 1px solid #e6eaee; padding: .35rem .6rem .35rem 0; }
nav { columns: 2; margin-bottom: 2rem; }
nav a { display: block; color: #2c5d8f; text-decoration: none; line-height: 1.9; }
@page { size: A4; margin: 18mm 15mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; } h3, h4 { break-after: avoid; }
  tr, pre { break-inside: avoid; } thead { display: table-header-group; }
  pre { white-space: pre-wrap; }
}
"""


def to_html(markdown: str, language: Language) -> str:
    """Return a whole page; nothing in it points anywhere outside."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    title, links = "", list[str]()
    for at, token in enumerate(tokens):
        if token.type != "heading_open":
            continue
        text = tokens[at + 1].content
        if token.tag == "h1":
            title = text
        elif token.tag == "h2":
            anchor = f"chapter-{len(links) + 1}"
            token.attrSet("id", anchor)
            links.append(f'<a href="#{anchor}">{escape(text)}</a>')
    body = parser.renderer.render(tokens, parser.options, {})
    head, end, rest = body.partition("</h1>")
    nav = f"<nav>{''.join(links)}</nav>"
    return (
        f'<!doctype html>\n<html lang="{LANGUAGES[language]}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, '
        f'initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{head}{end}\n{nav}\n{rest}</body>\n</html>\n"
    )


LANGUAGES = {"en": "en", "zh": "zh-CN"}
