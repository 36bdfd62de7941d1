# Explains the entries of the recorder's trace; those of other tasks, and unknown ones, are shown as
# they are. The names are those of task/crashlog/src/trace.rs. Variable: task.

# The number after `name: ` in the payload, decimal.
function number(name,    at, text, value, digit) {
    at = index(payload, name ": ")
    if (!at) return "?"
    text = substr(payload, at + length(name) + 2)
    sub(/[ ,})].*/, "", text)
    if (text !~ /^0x/) return text
    value = 0
    for (at = 3; at <= length(text); at++)
        value = value * 16 + index("0123456789abcdef", substr(text, at, 1)) - 1
    return value
}

# The text between the brackets of `Name(...)`.
function inside(    text) {
    text = payload
    sub(/^[A-Za-z]*\(/, "", text)
    sub(/\)$/, "", text)
    return text
}

function meaning(kind) {
    if (task != "crashlog") return payload
    if (kind == "Started") return "started with " number("pages") " pages of log in retained RAM, " number("damaged") " of them damaged"
    if (kind == "SetAside") return "set aside what earlier starts may have failed with: the crashes in retained RAM" (payload ~ /true/ ? ", and the pages of the log" : "")
    if (kind == "Mounted") return "located the log on the card; the next page is " number("next_page")
    if (kind == "RamOnly") return "saves nothing: " inside()
    if (kind == "ReadOnly") return "reads the log on the card and does not write it: " inside()
    if (kind == "Wrote") return "wrote " number("count") " pages, the first is " number("first_page")
    if (kind == "WroteCrash") return "wrote crash " number("sequence")
    if (kind == "WroteLateCrash") return "wrote crash " number("sequence") ", which an earlier boot left in retained RAM"
    if (kind == "FailuresNotKept") return "found that " number("count") " failures of the kernel were counted but not kept"
    if (kind == "CrashDamaged") return "found a crash in retained RAM that does not pass its check"
    if (kind == "SnapshotDone") return "wrote the image in retained RAM as the snapshot of a crash, or discarded it: crash " number("sequence")
    if (kind == "Failed") return "the card or the controller failed: " inside()
    if (kind == "Suspended") return "suspended card and controller (1 clock off, 2 card asleep, 3 power off): " number("how")
    if (kind == "Resumed") return "resumed card and controller"
    if (kind == "SelfTest") return "tried the emergency path: " inside()
    if (kind == "SelfTest") return "self-test of the emergency path: " inside()
    if (kind == "Refused") return "refused a client: " inside()
    return payload
}

BEGIN { print "== " task }

# NDX LINE GEN COUNT PAYLOAD. A counted ring buffer begins with a table of totals, which has two
# columns.
$1 ~ /^[0-9]+$/ && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ && $4 ~ /^[0-9]+$/ && NF > 4 {
    payload = $0
    sub(/^ *[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +/, "", payload)
    kind = payload
    sub(/[^A-Za-z].*/, "", kind)
    # Humility pads the payload with blanks.
    sub(/ +$/, "", payload)
    printf "  %s%s\n", meaning(kind), ($4 > 1 ? " (" $4 " times)" : "")
    shown++
}

END { if (!shown) print "  nothing" }
