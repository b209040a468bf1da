"""Do the shells complete what the table of options holds?  Tried in each shell that is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bastion.cli import completion
from bastion.runtime.errors import ConfigError

ROOT = Path(__file__).parents[2]

_BASH = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_bastion
printf '%s\\n' "${COMPREPLY[@]}"
"""

# A shell in a terminal of its own, as a person has it; it says which words would be offered, and leaves.
# The list that it would show is not read: it shows none while more is typed already.
_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= PS2= PROMPT= RPROMPT=; autoload -Uz compinit; compinit -u -d $2/dump; source $1"
zpty -w shell 'compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)* ]] { builtin compadd "$@"; return }
    local -a words
    builtin compadd -O words "$@"
    print -rl -- "" $words
    (( $#words ))
}'
zpty -w shell 'comppostfuncs=(exit)'
zpty -w shell 'print READY'
while zpty -r shell line && [[ $line != *READY* || $line == *print* ]]; do :; done
zpty -w -n shell "$3"$'\\t'
while zpty -r shell line; do print -r -- $line; done
zpty -d shell
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    commands = completion.commands()
    for shell, write in completion.SHELLS.items():
        (folder / shell).write_text(write(commands))
    return folder


def completed(shell: str, scripts: Path, line: str) -> str:
    """What the shell offers at the end of the line."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = str(scripts / shell)
    command = {
        "bash": ["bash", "--norc", "-c", _BASH, "bash", script, *line.split(" ")],
        "fish": ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
        "zsh": ["zsh", "-f", "-c", _ZSH, "zsh", script, str(scripts), line],
    }[shell]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=ROOT / "deploy")
    return re.sub(r"\x1b(?:\[[0-9;?]*[a-zA-Z]|[=>])|\r", " ", done.stdout)


ROWS = [
    ("bastion ", {"serve", "completion", "version"}, {"--port"}),
    ("bastion serve --stream-", {"--stream-drain", "--stream-idle-timeout"}, {"--port"}),
    ("bastion standalone --", {"--manifests", "--help"}, {"--stream-drain"}),
    ("bastion serve --log-format ", {"text", "json"}, {"--port"}),
    ("bastion serve --config kustom", {"kustomization.yaml"}, {"--port"}),
    ("bastion completion ", {"bash", "zsh", "fish"}, {"--port"}),
]


@pytest.mark.parametrize("shell", completion.SHELLS)
@pytest.mark.parametrize(("line", "offered", "not_offered"), ROWS, ids=[line for line, *_ in ROWS])
def test_a_shell_completes(
    scripts: Path, shell: str, line: str, offered: set[str], not_offered: set[str]
) -> None:
    shown = completed(shell, scripts, line)
    words = shown.split()
    assert offered <= {*words}, shown
    assert not_offered.isdisjoint(words)


def test_bash_completes_behind_an_equals_sign(scripts: Path) -> None:
    assert completed("bash", scripts, "bastion serve --log-format = te").split() == ["text"]


@pytest.mark.parametrize("argv", [[], ["tcsh"], ["bash", "zsh"], ["bsah"]])
def test_another_shell_is_a_mistake(argv: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        completion.run(argv)
    assert "not one shell of bash, zsh, fish" in str(caught.value)


def test_the_version_needs_nothing_of_the_proxy() -> None:
    code = "import sys; from bastion.cli.main import main; main(['version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"asyncio", "yaml", "fastapi", "bastion.settings.options", "bastion.wiring"})
