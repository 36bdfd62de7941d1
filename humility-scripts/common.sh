# shellcheck shell=sh
# Shared by the scripts: arguments, messages, calls of humility.

name=${0##*/}
folder=$(dirname "$0")

stop() { printf '%s: %s\n' "$name" "$*" >&2; exit 1; }

# Prints the comment at the top of the script, without its first line.
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }

# open_target FILE: checks that humility is installed, and that FILE is a dump, or an archive, which
# stands for a live target that is connected by a debug probe.
open_target() {
    command -v humility >/dev/null 2>&1 ||
        stop "humility is not on the PATH; build it from Oxide's humility repository with: cargo install --path humility-bin --locked"
    file=$1
    [ -f "$file" ] && [ -r "$file" ] ||
        stop "$file: no such file; name a dump, as ./x dump writes it, or the archive of a live target"
    case $(head -c 4 "$file" | od -An -tx1 | tr -d ' \n') in
        7f454c46) source=-d ;;
        504b0304) source=-a ;;
        *) stop "$file: neither a dump (an ELF file, as ./x dump writes it) nor an archive (a zip file, as ./x dist makes it)" ;;
    esac
}

# ask ARGUMENTS...: calls humility on the target. Its error output is shown only if it fails.
ask() {
    said=$(mktemp) || stop "no temporary file"
    if humility "$source" "$file" "$@" 2>"$said"; then
        rm -f "$said"
    else
        sed "/^humility: attached to /d; s/^/$name: /" "$said" | tail -n 5 >&2
        rm -f "$said"
        return 1
    fi
}

# answer ARGUMENTS...: the same, with its output in $answer. Ends the script if humility fails or
# prints nothing.
answer() {
    answer=$(ask "$@") || exit 1
    [ -n "$answer" ] || stop "$file: humility $1 said nothing"
}

# ask_memory LENGTH: the first bytes of the retained region, as words. `humility readmem` reads at
# most 65536 bytes at once.
ask_memory() {
    at=0
    while [ "$at" -lt "$1" ]; do
        part=$(($1 - at))
        [ "$part" -le 65536 ] || part=65536
        ask readmem -w "$(printf '0x%08x' $((address + at)))" "$part" || return 1
        at=$((at + part))
    done
}

# find_region: sets $address and $size of the retained region, from memory.toml in the archive.
find_region() {
    answer extract memory.toml
    # shellcheck disable=SC2046
    set -- $(printf '%s\n' "$answer" | awk '
        /^\[\[/ { inside = ($1 == "[[crash]]") }
        inside && $1 == "address" { address = $3 }
        inside && $1 == "size" { size = $3 }
        END { print address, size }')
    [ $# -eq 2 ] || stop "$file: its memory.toml has no output \`crash\`, so there is no retained region"
    address=$1 size=$2
}

# decode WHAT: decodes the retained region by retained.awk. A dump that stock humility writes does
# not have it.
decode() {
    answer extract app.toml
    tasks=$(printf '%s\n' "$answer" | sed -n 's/^\[tasks\.\([^].]*\)\]$/\1/p' | tr '\n' ' ')
    quota=$(printf '%s\n' "$answer" | awk '
        /^\[/ { inside = ($1 == "[tasks.crashlog.config]") }
        inside && $1 == "quota" { print $3 }')
    # What retained.awk reads: 337 blocks.
    most=$((337 * 512))
    [ "$((size))" -ge "$most" ] || most=$((size))
    memory=$(ask_memory "$most") ||
        stop "$file: the retained region at $address is not in it; ./x dump writes it, a dump of stock humility leaves it out, and \`crashlog show\` shows what is on the card"
    printf '%s\n' "$memory" | awk -v what="$1" -v name="$name" -v file="$file" -v size="$size" \
        -v tasks="$tasks" -v quota="${quota:-0}" -f "$folder/retained.awk"
}
