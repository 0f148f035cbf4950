"""The tree's style, held by a test: sizes, docstrings, and the few rules that no linter of ours knows."""

import ast
import configparser
import itertools
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("qianzhi", "frontends", "bankmq", "socket_pool", "interface_layer", "crm_bridge", "simulators")
BESIDE = ("tests", "examples", "benchmarks")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
LINE_CHARACTERS_MAX = 110
DAEMON_LINES_MAX = 150
CONNECTION_LINES_MAX = 300
CRASHPOINTS_MAX = 25
BANK_LINES_MAX = 80
BANK_FILES_MAX = 5
SHARED_LINES_MAX = 5

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def python_files(*roots: str) -> list[Path]:
    """Every Python file under these top-level folders."""
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


def modules(*roots: str) -> Iterator[tuple[str, str, ast.Module]]:
    """Path, text and syntax tree of every file."""
    for path in python_files(*roots):
        text = path.read_text(encoding="utf-8")
        yield str(path.relative_to(ROOT)), text, ast.parse(text)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, type_of_function):
            yield node


def lines_of(node: ast.stmt) -> int:
    """How many lines a definition takes."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def called_name(call: ast.Call) -> str:
    """The bare name that is called, without what it hangs on."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def setup_cfg() -> configparser.ConfigParser:
    """The project's metadata."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_functions_are_short() -> None:
    long = [
        f"{path}:{function.lineno} {function.name}: {lines_of(function)} lines"
        for path, _, tree in modules(*PRODUCT, *BESIDE)
        for function in functions(tree)
        if lines_of(function) > FUNCTION_LINES_MAX
    ]
    assert not long, "\n".join(long)


def test_the_middle_function_is_under_ten_lines() -> None:
    sizes = [
        lines_of(function) for _, _, tree in modules("qianzhi", *PRODUCT[1:]) for function in functions(tree)
    ]
    assert statistics.median(sizes) < 10, f"median {statistics.median(sizes)} of {len(sizes)} functions"


def test_files_and_lines_are_short() -> None:
    wrong = []
    for path, text, _ in modules(*PRODUCT, *BESIDE):
        lines = text.splitlines()
        if len(lines) > FILE_LINES_MAX:
            wrong.append(f"{path}: {len(lines)} lines, at most {FILE_LINES_MAX}")
        wrong += [
            f"{path}:{number}: {len(line)} characters, at most {LINE_CHARACTERS_MAX}"
            for number, line in enumerate(lines, 1)
            if len(line) > LINE_CHARACTERS_MAX
        ]
    assert not wrong, "\n".join(wrong)


def public_without_docstring(tree: ast.Module) -> Iterator[str]:
    """Names of a module's public classes, their methods and functions that say nothing of themselves."""
    if tree.body and not ast.get_docstring(tree):
        yield "the module"
    holders: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    while holders:
        prefix, holder = holders.pop()
        for node in holder.body:
            if not isinstance(node, (*type_of_function, ast.ClassDef)) or node.name.startswith("_"):
                continue
            overload = any(getattr(mark, "id", "") == "overload" for mark in node.decorator_list)
            if not overload and not ast.get_docstring(node):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                holders.append((f"{prefix}{node.name}.", node))


def test_public_things_have_docstrings() -> None:
    silent = [
        f"{path}: {name}" for path, _, tree in modules(*PRODUCT) for name in public_without_docstring(tree)
    ]
    assert not silent, "\n".join(silent)


def test_only_the_settling_of_a_batch_catches_everything() -> None:
    broad = []
    for path, _, tree in modules(*PRODUCT, "examples", "benchmarks"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
            for name in names:
                if name is None or getattr(name, "id", "") in ("Exception", "BaseException"):
                    broad.append((path, node.lineno))
    assert {path for path, _ in broad} <= {"crm_bridge/settling.py"}, broad


# What the simulated world's frame calls, as Twisted calls a Protocol: a process lives, an observer is told.
FRAMES = frozenset({"Process", "FrontProcess", "Observer"})


def test_only_errors_inherit_from_classes_of_ours() -> None:
    """Enumerations, tuples, protocols and a library's own bases declare a form; that is not what is meant."""
    classes = [
        (path, node)
        for path, _, tree in modules(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    ours = {node.name for _, node in classes} - FRAMES
    heirs = [
        f"{path}:{node.lineno} {node.name}({ast.unparse(base)})"
        for path, node in classes
        for base in node.bases
        if isinstance(base, ast.Name) and base.id in ours and not node.name.endswith("Error")
    ]
    assert not heirs, "\n".join(heirs)


def test_money_is_never_a_float() -> None:
    marked = [
        f"{path}:{node.lineno}"
        for path, _, tree in modules(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | ast.AnnAssign)
        and node.annotation is not None
        and "float" in ast.unparse(node.annotation)
        and re.search(r"fen|yuan|amount|balance|fee", ast.unparse(getattr(node, "target", None) or node))
    ]
    assert not marked, "\n".join(marked)


def test_only_the_command_prints() -> None:
    printing = [
        f"{path}:{node.lineno}"
        for path, _, tree in modules(*PRODUCT)
        if not path.startswith("qianzhi/cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not printing, "\n".join(printing)


def test_sql_stands_only_in_stores_and_migrations() -> None:
    wrong = [
        path
        for path, _, tree in modules(*PRODUCT)
        if any(name.partition(".")[0] in ("sqlalchemy", "sqlite3") for name in imported(tree))
        and Path(path).name != "store.py"
        and not path.startswith("crm_bridge/migrations/")
    ]
    assert not wrong, "\n".join(wrong)


def is_shell(path: str) -> bool:
    """Whether this file carries out effects: a daemon, a store, a writer or one of runtime's own files."""
    names = {"daemon.py", "shell.py", "store.py", "writer.py", "gateway.py", "zeromq.py", "alone.py"}
    names |= {"files_folder.py"}
    return Path(path).name in names or path.startswith("qianzhi/runtime/")


def test_crashpoints_are_few_and_only_in_shells_and_stores() -> None:
    places = [
        (path, node.args[0].value if isinstance(node.args[0], ast.Constant) else "not a constant")
        for path, _, tree in modules(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called_name(node) == "crashpoint" and node.args
    ]
    assert len({name for _, name in places}) <= CRASHPOINTS_MAX
    assert not [place for place in places if not is_shell(place[0])]
    assert not [place for place in places if place[1] == "not a constant"]


def test_shells_are_thin() -> None:
    thick = []
    for path, text, tree in modules(*PRODUCT):
        lines = len(text.splitlines())
        if Path(path).name == "daemon.py" and lines >= DAEMON_LINES_MAX:
            thick.append(f"{path}: {lines} lines, under {DAEMON_LINES_MAX}")
        for node in ast.walk(tree):
            connection = isinstance(node, ast.ClassDef) and "Connection" in node.name
            if connection and lines_of(node) >= CONNECTION_LINES_MAX:
                thick.append(f"{path} {node.name}: {lines_of(node)} lines, under {CONNECTION_LINES_MAX}")
    assert not thick, "\n".join(thick)


def test_whatever_calls_itself_pure_stands_in_the_contract_that_holds_it_so() -> None:
    listed = setup_cfg()["importlinter:contract:pure"]["source_modules"].split()
    claims = [
        ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")
        for path, _, tree in modules(*PRODUCT)
        if re.search(r"\b[Pp]ure[.;,:]", ast.get_docstring(tree) or "")
        and not path.startswith("qianzhi/runtime/")
    ]
    loose = [name for name in claims if not any(f"{name}.".startswith(f"{root}.") for root in listed)]
    assert len(claims) > 20
    assert not loose, "\n".join(loose)


def test_folders_hold_what_they_are_for() -> None:
    assert not python_files("config", "supervisor.d"), "data only"
    assert not list((ROOT / "tests").rglob("__init__.py")), "tests are no package"
    assert not (ROOT / "qianzhi/__init__.py").read_bytes(), "an empty one"


def banks_that_repeat_themselves(folder: Path) -> Iterator[str]:
    """What is wrong with the code that banks have of their own: too many files, too long, or one in another.

    Lines are compared without their indentation; a pair shares those that stand in both, blank ones apart.
    """
    files = sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")
    texts = {path.name: path.read_text(encoding="utf-8").splitlines() for path in files}
    if len(files) > BANK_FILES_MAX:
        yield f"{len(files)} files, at most {BANK_FILES_MAX}"
    for name, lines in texts.items():
        if len(lines) > BANK_LINES_MAX:
            yield f"{name}: {len(lines)} lines, at most {BANK_LINES_MAX}"
    distinct = {name: {line.strip() for line in lines} - {""} for name, lines in texts.items()}
    for (one, ours), (other, theirs) in itertools.combinations(distinct.items(), 2):
        if len(ours & theirs) > SHARED_LINES_MAX:
            yield f"{one} and {other} share {len(ours & theirs)} lines"


def test_the_banks_code_does_not_repeat_itself() -> None:
    wrong = list(banks_that_repeat_themselves(ROOT / "frontends/banks"))
    assert not wrong, "\n".join(wrong)


def test_code_of_banks_that_repeats_itself_is_seen(tmp_path: Path) -> None:
    lines = [f"a{number} = {number}" for number in range(6)]
    (tmp_path / "one.py").write_text("\n".join(["x = 1", *lines]), encoding="utf-8")
    (tmp_path / "two.py").write_text("\n\n    ".join(["y = 2", *lines[1:]]), encoding="utf-8")
    assert not list(banks_that_repeat_themselves(tmp_path))
    (tmp_path / "three.py").write_text("\n".join([*reversed(lines), *["z = 3"] * 75]), encoding="utf-8")
    assert list(banks_that_repeat_themselves(tmp_path)) == [
        "three.py: 81 lines, at most 80",
        "one.py and three.py share 6 lines",
    ]
    for number in range(3):
        (tmp_path / f"more{number}.py").touch()
    assert "6 files, at most 5" in list(banks_that_repeat_themselves(tmp_path))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_index_and_pin_by_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    pinned = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    named = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(pinned) == len(named) > 10


def test_every_dependency_is_locked_and_explained() -> None:
    options = setup_cfg()
    wanted = options["options"]["install_requires"].split()
    development = options["options.extras_require"]["dev"].split()
    architecture = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8").lower()
    assert not [name for name in wanted if name.lower() not in architecture], "not in docs/ARCHITECTURE.md"
    wanted = [name.partition("[")[0] for name in wanted]  # without the extras of an extra
    for lock, names in (("requirements.lock", wanted), ("requirements-dev.lock", wanted + development)):
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert not [name for name in names if f"\n{name.lower()}==" not in f"\n{text}"], lock


def test_the_package_list_is_complete() -> None:
    listed = set(setup_cfg()["options"]["packages"].split())
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in python_files(*PRODUCT)}
    assert listed == found


def test_nothing_names_the_machine_it_was_made_on() -> None:
    folders = ("docs", "config", "supervisor.d", ".ci")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts += [ROOT / name for name in ("Makefile", "setup.cfg", "pyproject.toml", "README.md")]
    texts += [path for path in python_files(*PRODUCT, *BESIDE) if path != Path(__file__)]
    wrong = [
        str(path.relative_to(ROOT))
        for path in texts
        if path.exists() and re.search(r"(?<![\w.])/(work|root|home)/\w", path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)
