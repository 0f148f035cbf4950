"""The command's words about profiles and dialects; what they do stands in the modules beside this one."""

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
