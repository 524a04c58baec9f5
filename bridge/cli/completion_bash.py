"""Completion for bash 4 and later; it does without the package bash-completion.

Owns its text. Authority: bash(1), Programmable Completion. ``=`` breaks words there: bash replaces what follows
the last one, so words are taken from the line, and answers cut.
"""

from collections.abc import Iterable, Iterator

from bridge.cli.completes import SettingName, WordKind, every, first_words, named_settings, settings, valued
from bridge.cli.usage import Usage


def script(whole: Usage) -> Iterator[str]:
    """Its lines."""
    options = valued(whole)
    yield HEAD
    yield f"    local valued=' {' '.join(options)} '"
    yield TO_COMMAND
    for usage in every(whole):
        if usage.words:
            before, _, last = usage.name.rpartition(" ")
            yield f"                '{before}/{last}') command='{usage.name}' ;;"
    yield TO_VALUE
    for kind in (WordKind.FILE, WordKind.SETTING):
        yield f"            {'|'.join(name for name, its in options.items() if its is kind)}) kind={kind.name} ;;"
    yield TO_WORDS
    for usage in every(whole):
        yield from _command(usage)
    yield TO_SETTINGS
    yield f"            words='{_equalled(settings())} {' '.join(named_settings())}'"
    for before, keys in named_settings().items():
        yield f"            [[ $current == {before}?*.* ]] && named=${{current%.*}}. words='{_equalled(keys)}'"
    values = " ".join(f"{key.name}={value}" for key in settings() for value in key.values)
    yield f"            [[ $current == *=* ]] && named='' words='{values}'"
    yield "            ;;"
    yield END


def _command(usage: Usage) -> Iterator[str]:
    words, kind, again = first_words(usage)
    yield f"            '{usage.name}')"
    yield f"                options='{' '.join(string for option in usage.options for string in option.strings)}'"
    if words or kind is WordKind.FILE:
        yield f"                {'' if again else '(( at )) || '}words='{' '.join(words)}' kind={kind.name}"
    yield "                ;;"


def _equalled(keys: Iterable[SettingName]) -> str:
    return " ".join(f"{key.name}=" for key in keys)


HEAD = """\
# bash completion for janus-bridge, made by `janus-bridge completion bash`
_janus_bridge() {
    local IFS=$' \\t\\n' line=${COMP_LINE:0:COMP_POINT} command='' skip='' kind='' options='' word at=0
    local -a given
    local named='' words=''
    read -ra given <<<"$line"
    [[ $line == *[[:space:]] ]] && given+=('')
    local current=${given[-1]} before=${given[-2]}"""
TO_COMMAND = """\
    for word in "${given[@]:1:${#given[@]}-2}"; do
        if [[ $skip ]]; then
            skip=''
        elif [[ $valued == *" $word "* ]]; then
            skip=1
        elif [[ $word != -* ]]; then
            case $command/$word in"""
TO_VALUE = """\
                *) (( ++at )) ;;
            esac
        fi
    done
    if [[ $current == --*=* ]]; then
        before=${current%%=*} current=${current#*=} skip=1
    fi
    if [[ $skip ]]; then
        case $before in"""
TO_WORDS = """\
        esac
    else
        case $command in"""
TO_SETTINGS = """\
        esac
        [[ $current == -* || ( ! $words && ! $kind && $at == 0 ) ]] && words=$options kind=''
    fi
    COMPREPLY=()
    case $kind in
        FILE)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            words=''
            ;;
        SETTING)
            compopt -o nospace"""
END = """\
    esac
    # Not by compgen -W, which would run what stands in $(...) in a name that the user has typed.
    for word in $words; do
        [[ $named$word == "$current"* ]] && COMPREPLY+=("$named$word")
    done
    [[ $kind == SETTING && $current == *=* ]] && COMPREPLY=("${COMPREPLY[@]#*=}")
}
complete -F _janus_bridge janus-bridge"""
