"""`bastion completion bash|zsh|fish`: a script with which the shell completes commands, flags and values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bastion.runtime.errors import ConfigError
from bastion.settings.kinds import PATH, Several
from bastion.settings.option import Option, options_of
from bastion.settings.words import did_you_mean

USAGE = """usage: bastion completion bash|zsh|fish

Prints a script with which the shell completes commands, flags and their values:

  source <(bastion completion bash)
  source <(bastion completion zsh)
  bastion completion fish | source
"""


@dataclass(frozen=True, slots=True)
class Completable:
    """A command, and what may follow it."""

    name: str
    help: str
    options: Sequence[Option] = ()
    words: Sequence[str] = ()


def run(argv: Sequence[str]) -> int:
    if not {"-h", "--help"}.isdisjoint(argv):
        sys.stdout.write(USAGE)
        return 0
    if len(argv) != 1 or argv[0] not in SHELLS:
        given = argv[0] if argv else ""
        hint = did_you_mean(given, SHELLS, " (see bastion completion --help)")
        raise ConfigError([f"{' '.join(argv)}: not one shell of {', '.join(SHELLS)}{hint}".lstrip(": ")])
    sys.stdout.write(SHELLS[argv[0]](commands()))
    return 0


def commands() -> list[Completable]:
    from bastion.cli.main import COMMANDS  # only here: main imports this file by its name

    found = []
    for command in COMMANDS:
        module = command.load()
        whole = getattr(module, "OPTIONS", None)
        options = options_of(whole) if whole is not None else ()
        found.append(Completable(command.name, command.help, options, getattr(module, "WORDS", ())))
    return found


def _values(row: Option) -> tuple[str, ...]:
    return row.kind.words


def takes_path(row: Option) -> bool:
    return (row.kind.item if isinstance(row.kind, Several) else row.kind).parse is PATH.parse


def _flags(command: Completable) -> list[str]:
    return [*(f"--{row.flag}" for row in command.options), "--help"]


# --- bash

_BASH = r"""# bash completion for bastion
_bastion() {
    local cur prev command
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD-1]}
    # bash splits --flag=value into three words
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" && COMP_CWORD -gt 1 ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "@COMMANDS@" -- "$cur"))
        return
    fi
    command=${COMP_WORDS[1]}
    case "$command $prev" in
@VALUES@    esac
    case "$command" in
@FLAGS@    esac
}
complete -o default -F _bastion bastion
"""


def bash(commands: Sequence[Completable]) -> str:
    values, flags = [], []
    for command in commands:
        paths = [f'"{command.name} --{row.flag}"' for row in command.options if takes_path(row)]
        if paths:
            values.append(
                f"        {'|'.join(paths)}) compopt -o filenames 2>/dev/null; {_reply('-f')}; return ;;\n"
            )
        for row in command.options:
            if words := _values(row):
                values.append(f'        "{command.name} --{row.flag}")')
                values.append(f" {_reply(_words(words))}{_unless_switch(row)} ;;\n")
        following = [*command.words, *_flags(command)]
        flags.append(f"        {command.name}) {_reply(_words(following))} ;;\n")
    names = " ".join(command.name for command in commands)
    return (
        _BASH.replace("@COMMANDS@", names)
        .replace("@VALUES@", "".join(values))
        .replace("@FLAGS@", "".join(flags))
    )


def _words(words: Sequence[str]) -> str:
    return f'-W "{" ".join(words)}"'


def _reply(what: str) -> str:
    return f'COMPREPLY=($(compgen {what} -- "$cur"))'


def _unless_switch(row: Option) -> str:
    """After a switch may come its value or the next flag."""
    return "; [[ $cur == -* ]] || return" if row.kind.is_switch else "; return"


# --- zsh


def zsh(commands: Sequence[Completable]) -> str:
    lines = [
        "#compdef bastion",
        "# zsh completion for bastion",
        "_bastion() {",
        "  local -a commands",
        "  commands=(",
    ]
    lines += [f"    {_quoted(f'{command.name}:{command.help}')}" for command in commands]
    lines += ["  )", "  if (( CURRENT == 2 )); then", "    _describe command commands", "    return", "  fi"]
    lines += ["  local command=$words[2]", "  shift words", "  (( CURRENT-- ))", "  case $command in"]
    for command in commands:
        lines += [f"    {command.name})", "      _arguments \\"]
        lines += [f"        {spec} \\" for spec in _zsh_specs(command)]
        lines += ["        '(-)'{-h,--help}'[print help]'", "      ;;"]
    lines += ["  esac", "}", "if [[ $funcstack[1] == _bastion ]]; then", '  _bastion "$@"', "else"]
    lines += ["  compdef _bastion bastion", "fi"]
    return "\n".join(lines) + "\n"


def _zsh_specs(command: Completable) -> Iterator[str]:
    for row in command.options:
        repeated = "*" if isinstance(row.kind, Several) else ""
        help = row.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
        value = "::" if row.kind.is_switch else ":"
        action = "_files" if takes_path(row) else f"({' '.join(_values(row))})" if _values(row) else " "
        metavar = row.kind.metavar.replace(":", "\\:").replace("[", "\\[").replace("]", "\\]")
        yield _quoted(f"{repeated}--{row.flag}=[{help}]{value}{metavar}:{action}")
    if command.words:
        yield _quoted(f"1:word:({' '.join(command.words)})")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish


def fish(commands: Sequence[Completable]) -> str:
    names = " ".join(command.name for command in commands)
    lines = ["# fish completion for bastion", "complete -c bastion -f"]
    for command in commands:
        lines.append(
            f"complete -c bastion -n 'not __fish_seen_subcommand_from {names}'"
            f" -a {command.name} -d {_fish(command.help)}"
        )
    for command in commands:
        of_command = f"complete -c bastion -n '__fish_seen_subcommand_from {command.name}'"
        lines += [
            f"{of_command} -l {row.flag}{_fish_value(row)} -d {_fish(row.help)}" for row in command.options
        ]
        lines.append(f"{of_command} -l help -s h -d 'print help'")
        if command.words:
            lines.append(f"{of_command} -a {_fish(' '.join(command.words))}")
    return "\n".join(lines) + "\n"


def _fish_value(row: Option) -> str:
    if row.kind.is_switch:  # its value may be missing
        return f" -a {_fish(' '.join(_values(row)))}"
    if takes_path(row):
        return " -r -F"
    return f" -x -a {_fish(' '.join(_values(row)))}" if _values(row) else " -x"


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[Sequence[Completable]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
WORDS = tuple(SHELLS)
