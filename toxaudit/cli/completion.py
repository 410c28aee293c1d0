"""``toxaudit completion SHELL`` prints the script by which a shell completes words of toxaudit's commands."""

from collections.abc import Sequence
from contextlib import suppress

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError, did_you_mean, visible

ANSWER = "--line"
"""What the scripts say before a command line up to the cursor, to be told the words that may stand there."""

BASH = r"""# toxaudit's words in bash: write this into a file that ~/.bashrc sources
_toxaudit() {
    local line=${COMP_LINE:0:COMP_POINT} answer last before=
    last=${line##*[[:space:]]}
    # bash parts words at = and :, and wants only what stands behind the last of them
    [[ $COMP_WORDBREAKS == *=* && $last == *[=:]* ]] && before=${last%"${last##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r answer; do
        [[ $answer == *" "* ]] && printf -v answer %q "$answer"
        case $answer in *[=.,/]|*\[|*\[*[!]]) ;; *) answer="$answer " ;; esac
        COMPREPLY+=("${answer#"$before"}")
    done < <(toxaudit completion --line "$line" 2>/dev/null)
}
complete -o default -o nospace -F _toxaudit toxaudit
"""

ZSH = r"""#compdef toxaudit
# toxaudit's words in zsh: write this into a file _toxaudit in a folder of $fpath, or source it after compinit
_toxaudit() {
    local answer
    local -a more whole
    for answer in "${(@f)$(toxaudit completion --line "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}"; do
        case $answer in
            '') ;;
            *[=.,/]|*\[|*\[*[^\]]) more+=("$answer") ;;
            *) whole+=("$answer") ;;
        esac
    done
    if (( $#more + $#whole )); then
        compadd -S '' -- $more
        compadd -- $whole
    else
        compset -P '*='
        _files
    fi
}
if [[ $funcstack[1] == _toxaudit ]]; then _toxaudit "$@"; else compdef _toxaudit toxaudit; fi
"""

FISH = r"""# toxaudit's words in fish: write this into ~/.config/fish/completions/toxaudit.fish
function __toxaudit_words
    set -l words (toxaudit completion --line (commandline -cp) 2>/dev/null)
    set -q words[1]; or __fish_complete_path (commandline -ct)
    for word in $words
        if string match -qr '\[[^\]]*[^\[\],]$' -- $word # a list goes on, or ends
            printf '%s\n' $word, $word']'
        else
            printf '%s\n' $word
        end
    end
end
complete -c toxaudit -f -a '(__toxaudit_words)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

COMPLETION = Options(
    "completion",
    "|".join(SCRIPTS),
    "Prints a script by which a shell completes toxaudit's commands, options, names, keys and runs: for bash "
    '`eval "$(toxaudit completion bash)"` in ~/.bashrc, for zsh the same with zsh after compinit in ~/.zshrc, for fish '
    "`toxaudit completion fish > ~/.config/fish/completions/toxaudit.fish`.",
    where=f"one of the shells {', '.join(SCRIPTS)}",
    words=1,
)


def completion(words: Sequence[str]) -> int:
    """Print a shell's script, or what such a script asks for: the words that may stand at the end of a line."""
    if len(words) == 2 and words[0] == ANSWER:
        from toxaudit.cli.completing.words import answers

        with suppress(Exception):  # on a line that somebody is writing, no answer is better than an error
            print(*map(visible, answers(words[1])), sep="\n")
        return DONE
    (shell,), _ = COMPLETION.read(words)
    if shell not in SCRIPTS:
        raise ToxauditError(f"There is no script for '{shell}'.{did_you_mean(shell, SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return DONE
