"""The command's words about money that operators move; what they do stands in the modules beside this one."""

from typing import Annotated

import typer

from qianzhi.cli.chosen import chosen

PANEL = "Money, by two operators"

money_app = typer.Typer()
operator_app = typer.Typer(help="Who may propose and approve what moves money.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit chain of all that operators did.", no_args_is_help=True)
day_app = typer.Typer(help="Business dates: their reconciliation fences.", no_args_is_help=True)
saf_app = typer.Typer(help="Store-and-forward 存储转发: what we promised to deliver.", no_args_is_help=True)
quarantine_app = typer.Typer(help="Keys that the core could not process.", no_args_is_help=True)
breaks_app = typer.Typer(help="Breaks: keys that are open between us and the other side.")
for app, name in (
    (operator_app, "operator"),
    (day_app, "day"),
    (saf_app, "saf"),
    (quarantine_app, "quarantine"),
    (breaks_app, "breaks"),
    (audit_app, "audit"),
):
    money_app.add_typer(app, name=name, rich_help_panel=PANEL)

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
As = Annotated[
    str, typer.Option("--as", metavar="NAME", help="The operator; by default this machine's user.")
]
PasswordFile = Annotated[
    str,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="The operator's password: a file of mode 0600, or - for standard input; else it is asked for.",
    ),
]
NewPasswordFile = Annotated[
    str, typer.Option("--new-password-file", metavar="FILE", help="The new password, in the same way.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the second operator reads it.")]
Operator = Annotated[str, typer.Argument(metavar="NAME", help="An operator, such as wang.")]
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The act, as `qianzhi pending` shows it.")]
KeyText = Annotated[str, typer.Argument(metavar="KEY", help="space/YYYYMMDD/serial.")]
EntryId = Annotated[str, typer.Argument(metavar="ENTRY", help="As `qianzhi saf list` shows it.")]
Everything = Annotated[bool, typer.Option("--all", help="Those that are settled too.")]


@operator_app.command("add")
def operator_add(
    context: typer.Context,
    name: Operator,
    by: As = "",
    password_file: PasswordFile = "",
    new_password_file: NewPasswordFile = "",
    as_json: Json = False,
) -> None:
    """Add an operator: the first two at once; a further one when another operator approves.

    The second is added by the first, with --as.
    Whoever comes later chooses his password by a code, of which each of the two is told a half.
    """
    from qianzhi.cli.office import Who
    from qianzhi.cli.operators import add_command

    add_command(chosen(context), name, Who(by, password_file), new_password_file, as_json)


@operator_app.command("list")
def operator_list(context: typer.Context, as_json: Json = False) -> None:
    """Show who is, was or may become an operator."""
    from qianzhi.cli.operators import list_command

    list_command(chosen(context), as_json)


@operator_app.command("password")
def operator_password(
    context: typer.Context,
    by: As = "",
    password_file: PasswordFile = "",
    new_password_file: NewPasswordFile = "",
) -> None:
    """Choose another password for oneself."""
    from qianzhi.cli.office import Who
    from qianzhi.cli.operators import password_command

    password_command(chosen(context), Who(by, password_file), new_password_file)


@operator_app.command("reset")
def operator_reset(
    context: typer.Context,
    name: Operator,
    by: As = "",
    password_file: PasswordFile = "",
    as_json: Json = False,
) -> None:
    """Propose that somebody who has forgotten his password chooses another one, by a code in two halves."""
    from qianzhi.cli.office import Who
    from qianzhi.cli.operators import reset_command

    reset_command(chosen(context), name, Who(by, password_file), as_json)


@operator_app.command("retire")
def operator_retire(
    context: typer.Context,
    name: Operator,
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose that somebody is no operator any more, for good."""
    from qianzhi.cli.office import Who
    from qianzhi.cli.operators import retire_command

    retire_command(chosen(context), name, Who(by, password_file), reason, as_json)


@money_app.command(rich_help_panel=PANEL)
def pending(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="The latest acts, whatever became of them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what waits for a second operator, and what is approved and not carried out yet."""
    from qianzhi.cli.acts import pending_command

    pending_command(chosen(context), everything, as_json)


@money_app.command(rich_help_panel=PANEL)
def approve(
    context: typer.Context,
    number: Number,
    by: As = "",
    password_file: PasswordFile = "",
    as_json: Json = False,
) -> None:
    """Approve an act of another operator and carry it out; again and again the same, until it is done."""
    from qianzhi.cli.acts import approve_command
    from qianzhi.cli.office import Who

    approve_command(chosen(context), number, Who(by, password_file), as_json)


@money_app.command(rich_help_panel=PANEL)
def refuse(
    context: typer.Context,
    number: Number,
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Refuse an act of another operator, or withdraw one's own."""
    from qianzhi.cli.acts import refuse_command
    from qianzhi.cli.office import Who

    refuse_command(chosen(context), number, Who(by, password_file), reason, as_json)


@audit_app.command("verify")
def audit_verify(
    context: typer.Context,
    head: Annotated[
        str,
        typer.Option("--head", metavar="NUMBER:HASH", help="A head noted before: it must be in the chain."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Prove that the audit chain is unbroken and tells what acts and operators are; exit 1 if not."""
    from qianzhi.cli.acts import verify_command

    verify_command(chosen(context), head, as_json)


@audit_app.command("list")
def audit_list(
    context: typer.Context,
    last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="How many entries.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest entries of the audit chain."""
    from qianzhi.cli.acts import list_command

    list_command(chosen(context), last, as_json)


@day_app.command("close")
def day_close(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="A bank of the site, such as hz_citic.")],
    date: Annotated[str, typer.Argument(metavar="DATE", help="The business date YYYYMMDD.")],
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose to close a business date of a bank: it takes no new key and no reversal any more."""
    from qianzhi.cli.days import close_command
    from qianzhi.cli.office import Who

    close_command(chosen(context), bank, date, Who(by, password_file), reason, as_json)


@day_app.command("status")
def day_status(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="[BANK]", help="Only this one.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Show through which date each serial space is closed, and what holds the next date open."""
    from qianzhi.cli.days import status_command

    status_command(chosen(context), bank, as_json)


@money_app.command(rich_help_panel=PANEL)
def void(
    context: typer.Context,
    key: KeyText,
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose to cancel 撤销 an approved recharge or payment whose money is unspent."""
    from qianzhi.cli.breaks import void_command
    from qianzhi.cli.office import Who

    void_command(chosen(context), key, Who(by, password_file), reason, as_json)


@quarantine_app.command("list")
def quarantine_list(context: typer.Context, everything: Everything = False, as_json: Json = False) -> None:
    """Show the keys that the core could not process and nobody has released yet."""
    from qianzhi.cli.breaks import QUARANTINE, breaks_command

    breaks_command(chosen(context), "", QUARANTINE, everything, as_json)


@quarantine_app.command("release")
def quarantine_release(
    context: typer.Context,
    key: KeyText,
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose to release a key: its refusal stands, and its day can close."""
    from qianzhi.cli.breaks import release_command
    from qianzhi.cli.office import Who

    release_command(chosen(context), key, Who(by, password_file), reason, as_json)


@breaks_app.callback(invoke_without_command=True)
def breaks(
    context: typer.Context,
    space: Annotated[str, typer.Option("--space", metavar="SPACE", help="Only of this serial space.")] = "",
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="saf, manual, refund …")] = "",
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """Show the breaks that are open: keys about which we and the other side do not agree yet."""
    from qianzhi.cli.breaks import breaks_command

    if context.invoked_subcommand is None:
        breaks_command(chosen(context), space, kind, everything, as_json)


@breaks_app.command("mend")
def breaks_mend(
    context: typer.Context,
    key: KeyText,
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose that a break is settled; what stands in suspense 挂账 goes back to clearing."""
    from qianzhi.cli.breaks import mend_command
    from qianzhi.cli.office import Who

    mend_command(chosen(context), key, Who(by, password_file), reason, as_json)


@breaks_app.command("open")
def breaks_open(
    context: typer.Context,
    key: KeyText,
    amount: Annotated[str, typer.Option("--amount", metavar="YUAN", help="By default the key's own.")] = "",
    by: As = "",
    password_file: PasswordFile = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose to note a key as open: its amount goes to suspense 挂账, and its day cannot close."""
    from qianzhi.cli.breaks import open_command
    from qianzhi.cli.office import Who

    open_command(chosen(context), key, amount, Who(by, password_file), reason, as_json)


@saf_app.command("list")
def saf_list(
    context: typer.Context,
    destination: Annotated[str, typer.Option("--to", metavar="BANK", help="Only to this destination.")] = "",
    state: Annotated[str, typer.Option("--state", metavar="STATE", help="open, manual or quarantined.")] = "",
    as_json: Json = False,
) -> None:
    """Show what this machine's daemons have to deliver."""
    from qianzhi.cli.saf import list_command

    list_command(chosen(context), destination, state, as_json)


@saf_app.command("show")
def saf_show(context: typer.Context, entry: EntryId, as_json: Json = False) -> None:
    """Show one entry with its request."""
    from qianzhi.cli.saf import show_command

    show_command(chosen(context), entry, as_json)


def _saf_act(kind: str, what: str) -> None:
    """Make one of the commands that propose an act about an entry."""

    def command(
        context: typer.Context,
        entry: EntryId,
        by: As = "",
        password_file: PasswordFile = "",
        reason: Reason = "",
        as_json: Json = False,
    ) -> None:
        from qianzhi.cli.office import Who
        from qianzhi.cli.saf import act_command

        act_command(chosen(context), f"saf-{kind}", entry, Who(by, password_file), reason, as_json)

    saf_app.command(kind, help=what)(command)


_saf_act("retry", "Propose to send a manual or quarantined entry again.")
_saf_act("expire", "Propose that an open entry's time is over now: it becomes manual.")
_saf_act("settle", "Propose that a manual or quarantined entry was settled by hand: it ends.")


@saf_app.command("carry-out")
def saf_carry_out(
    context: typer.Context,
    number: Number,
    warrant: Annotated[str, typer.Option("--warrant", metavar="WARRANT", help="As `approve` gave it.")],
    as_json: Json = False,
) -> None:
    """Carry an approved act out where the entry's node is, when no bridge runs on that machine."""
    from qianzhi.cli.saf import carry_out_command

    carry_out_command(chosen(context), number, warrant, as_json)


@saf_app.command("export")
def saf_export(
    context: typer.Context,
    destination: Annotated[str, typer.Argument(metavar="BANK", help="The destination.")],
    date: Annotated[
        str, typer.Argument(metavar="[DATE]", help="Of this business date alone.", show_default=False)
    ] = "",
    as_json: Json = False,
) -> None:
    """Write what only a person can settle into a file that the other side can import, again and again."""
    from qianzhi.cli.saf import export_command

    export_command(chosen(context), destination, date, as_json)
