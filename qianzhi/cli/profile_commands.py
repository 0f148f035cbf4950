"""The command's words about profiles and dialects; what they do stands in the modules beside this one."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from qianzhi.cli.chosen import chosen

PANEL = "Banks as data"

profile_app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
Bank = Annotated[str, typer.Argument(metavar="BANK", help="A bank of the site, such as hz_citic.")]


@profile_app.command(rich_help_panel=PANEL)
def describe(
    context: typer.Context,
    bank: Bank,
    message: Annotated[
        str, typer.Argument(metavar="HEX|FILE|-", help="Hex, a file of hex or bytes, - for stdin, or text.")
    ],
    with_hex: Annotated[bool, typer.Option("--hex", help="Show the masked bytes too.")] = False,
    as_json: Json = False,
) -> None:
    """Take a bank's messages apart, masked, with offsets: from the framing, the header or the message on."""
    from qianzhi.cli.describing import describe_command

    describe_command(chosen(context), bank, message, as_json, with_hex)


@profile_app.command("new-bank", rich_help_panel=PANEL)
def new_bank(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and underscores.")],
    like: Annotated[str, typer.Option("--like", metavar="BANK", help="The bank that is nearest to it.")],
    title: Annotated[str, typer.Option("--title", help="The bank's name for people.")] = "",
    number: Annotated[
        list[str] | None, typer.Option("--number", metavar="NUMBER", help="A bank number; may be repeated.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="The first of its ports; the next free ones.")
    ] = 0,
    own_spec: Annotated[
        bool, typer.Option("--own-spec", help="Put a copy of the message spec into its file.")
    ] = False,
    no_site: Annotated[bool, typer.Option("--no-site", help="Give it no place in the site's file.")] = False,
    vectors: Annotated[Path, typer.Option("--vectors", metavar="DIR", help="Where vectors are kept.")] = Path(
        "tests/vectors"
    ),
    as_json: Json = False,
) -> None:
    """Begin a bank as a copy of another: profile, place in the site, vector skeleton; say what to edit."""
    from qianzhi.cli.new_bank import Wish, new_bank_command

    wish = Wish(name, like, title, tuple(number or ()), port, own_spec, not no_site, vectors)
    new_bank_command(chosen(context), wish, as_json)


@profile_app.command(rich_help_panel=PANEL)
def schema(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="[bank|spec|site]", help="Which file's.")] = "bank",
    write: Annotated[bool, typer.Option("--write", help="Write all of them into config/schemas.")] = False,
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when the files there differ.")
    ] = False,
) -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    from qianzhi.cli.schemas import schema_command

    schema_command(chosen(context), what, write, only_check)


@profile_app.command("import-packager", rich_help_panel=PANEL)
def import_packager(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A jPOS GenericPackager's XML.")],
    name: Annotated[str, typer.Option("--name", help="The spec's name, the file's by default.")] = "",
) -> None:
    """Print a message spec made from a jPOS GenericPackager; what to look at goes to standard error."""
    from qianzhi.cli.packager import import_command

    import_command(file, name)


@profile_app.command(rich_help_panel=PANEL)
def docs(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank of config/banks/, such as hz_citic.")],
    form: Annotated[str, typer.Option("--format", metavar="md|html", help="Markdown or HTML.")] = "md",
    lang: Annotated[str, typer.Option("--lang", metavar="en|zh", help="English or Chinese.")] = "en",
    site: Annotated[
        str, typer.Option(metavar="NAME", help="Whose queues and addresses, as before the command.")
    ] = "",
) -> None:
    """Print the interface document for a bank's engineers, with samples under printed test keys."""
    from qianzhi.cli.documenting import docs_command

    options = chosen(context)
    docs_command(replace(options, site=site or options.site), bank, form, lang)


@profile_app.command("diff-profile", rich_help_panel=PANEL)
def diff_profile(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="A bank, a message spec, or a file of either.")],
    second: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    as_json: Json = False,
) -> None:
    """Show what two banks, or two message specs, do differently; exit 0 for nothing, 1 for something."""
    from qianzhi.cli.differing import diff_command

    diff_command(chosen(context), first, second, as_json)


@profile_app.command(rich_help_panel=PANEL)
def vectors(
    context: typer.Context,
    banks: Annotated[
        list[str] | None, typer.Argument(metavar="[BANK]...", help="All banks by default.")
    ] = None,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where vectors are kept.")] = Path(
        "tests/vectors"
    ),
    write: Annotated[
        bool, typer.Option("--write", help="Make them anew, then check; samples by hand stay.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a dialect's sample messages with both of its codecs; exit 1 when one is wrong."""
    from qianzhi.cli.vectors import vectors_command

    vectors_command(chosen(context), banks or [], folder, write, as_json)
