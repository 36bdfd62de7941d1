# shellcheck shell=sh
# What the scripts share: arguments, messages, and how humility is called.

stop() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The comment at the head of the script, without its first line.
usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# open_dump FILE: humility is there, and FILE is a dump, as ./x dump writes it.
open_dump() {
    command -v humility >/dev/null 2>&1 ||
        stop "humility is not on the PATH; build it from Oxide's humility repository with: cargo install --path humility-bin --locked"
    dump=$1
    [ -r "$dump" ] || stop "$dump: no such dump; ./x dump writes one of a running ./x qemu"
    [ "$(head -c 4 "$dump" | od -An -tx1 | tr -d ' \n')" = 7f454c46 ] ||
        stop "$dump: no dump; an archive alone does not tell what happened"
}

# ask ARGUMENTS...: humility on the dump.
ask() { humility -d "$dump" "$@"; }
