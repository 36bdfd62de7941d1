# Decodes the retained region from the output of `humility readmem -w`. The layout is that of
# lib/crashlog-retained, version 1: blocks of 512 bytes. A part that does not pass its check is
# ignored. POSIX awk has no bit operations.
#
# Variables: what (region or log-ring), name, file, size (bytes of the region), tasks (their names), quota (bytes).

function hex(text,    value, at) {
    value = 0
    for (at = 1; at <= length(text); at++)
        value = value * 16 + index("0123456789abcdef", substr(text, at, 1)) - 1
    return value
}

function xor(a, b,    value, place, at) {
    value = 0
    place = 1
    for (at = 0; at < 8; at++) {
        value += XOR[a % 16, b % 16] * place
        a = int(a / 16)
        b = int(b / 16)
        place *= 16
    }
    return value
}

function multiply(a, b) {
    return ((a * (b % 65536)) % WORD + ((a * int(b / 65536)) % 65536) * 65536) % WORD
}

# The region's checksum (lib/crashlog-retained/src/words.rs): for each word, exclusive or,
# multiplication by 0x9e3779b1, rotation to the left by 15.
function sum(start, block, first, count,    value, at) {
    value = start
    for (at = first; at < first + count; at++) {
        value = multiply(xor(value, word(block, at)), 2654435761)
        value = (value * 32768) % WORD + int(value / 131072)
    }
    return value
}

function word(block, at) {
    at += block * 128
    if (!(at in MEMORY)) broken("it ends before word " at)
    return hex(MEMORY[at])
}

# Four characters as a word, the first one in the lowest byte.
function tag(text,    value, at) {
    value = 0
    for (at = 4; at >= 1; at--) value = value * 256 + CODE[substr(text, at, 1)]
    return value
}

# Text that ends at a zero; a character that is not printable ASCII becomes a question mark.
function text(block, first, count,    value, at, part, letter, code) {
    value = ""
    for (at = first; at < first + count; at++) {
        part = word(block, at)
        for (letter = 0; letter < 4; letter++) {
            code = part % 256
            part = int(part / 256)
            if (code == 0) return value
            value = value (code >= 32 && code < 127 ? sprintf("%c", code) : "?")
        }
    }
    return value
}

function task(number) {
    return number in TASK ? TASK[number] : "task " number
}

function plural(count, one) {
    return count " " one (count == 1 ? "" : "s")
}

function broken(why) {
    printf "%s: %s: the retained region cannot be read: %s\n", name, file, why | "cat >&2"
    FAILED = 1
    exit 1
}

function header(    copy, best) {
    for (copy = 0; copy < 16; copy += 8) {
        if (word(0, copy) != sum(tag("CRSH"), 0, copy + 1, 7) || word(0, copy + 4) == 0) continue
        if (word(0, copy + 2) != 1) broken("its layout has version " word(0, copy + 2) ", this script knows 1")
        if (best == "" || word(0, copy + 1) > word(0, best + 1)) best = copy
    }
    if (best == "") broken("its header does not pass its check, as before the first boot after power-on")
    BOOT = word(0, best + 4)
    OFFSET = word(0, best + 5)
    PAGES = word(0, best + 3)
}

# Task, fault and time of the crash whose context begins at a block; empty if it does not pass its
# check.
function context(block,    fault, at) {
    at = 2
    if (word(block, 0) == tag("CTXN")) {
        # A note: the context was not complete when it was read.
        at = 49
        if (word(block, 48) != sum(tag("CTXN"), block, 49, 34)) return ""
    } else if (word(block, 0) != tag("CTX!") || word(block, 1) != sum(tag("CTX!"), block, 2, 42)) return ""
    fault = word(block, at + 27) % 256
    return sprintf("task `%s`, %s, boot %d after %d.%03d s", text(block, at + 21, 6), fault in FAULT ? FAULT[fault] : "fault " fault, \
        word(block, at + 2) + OFFSET, word(block, at) / 1000, word(block, at) % 1000)
}

function mailbox(    state, crash, waiting, at) {
    state = word(1, 0)
    crash = context(2)
    if (crash == "") crash = "one that does not pass its check"
    if (state == tag("ARM1") || state == tag("ARM2")) print "crash      not written yet: " crash
    else if (state == tag("FAIL")) print "crash      could not be written and waits: " crash
    else if (state == tag("NOTE")) print "crash      not handed to the recorder yet: " crash
    else if (state == tag("NOTE")) print "crash      noted, but not completely described: " crash
    else if (state == tag("DONE")) print "crash      on the card: " crash
    else print "crash      none"
    waiting = 0
    for (at = 6; at < 22; at += 4) if (word(at, 0) == tag("CTX!")) waiting++
    print "oopses     " waiting " wait to be written, of 4 that there is room for; " word(1, 12) " had no room"
    if (word(1, 13) == sum(tag("TEST"), 1, 14, 7))
        printf "self-test  of boot %d: %s\n", word(1, 14) + OFFSET, \
            (word(1, 16) == 0 ? "passed in " word(1, 19) " ms, crash record " word(1, 18) : "failed in step " word(1, 15) ", cause " word(1, 16))
    crash = context(22)
    print "kernel     " (crash == "" ? "no failure waits" : "a failure waits: " crash ", and " plural(word(22, 122), "more") " not kept")
}

# The tasks of the series in the copy of the history at this word.
function series(copy,    at, found) {
    found = ""
    # A series counts its first fault too; `crashlog list` counts those that repeat it. The upper
    # half of the word with the task counts faults of any kind.
    for (at = copy + 4; at < copy + 36; at += 4)
        if (word(30, at) > 1) found = found (found ? ", " : "") "task `" task(word(30, at + 1) % 65536) "` " plural(word(30, at) - 1, "time")
    return found
}

function history(    copy, best, found) {
    best = ""
    for (copy = 0; copy < 72; copy += 36) {
        if (word(30, copy) != sum(tag("HIST"), 30, copy + 1, 35)) continue
        if (best == "" || (word(30, copy + 1) - word(30, best + 1) + WORD) % WORD < WORD / 2) best = copy
    }
    found = best == "" ? "" : series(best)
    print "repeats    " (found ? "of the same fault, after the first: " found : "none")
    if (word(30, 72) == sum(tag("HIST"), 30, 73, 35))
        print "set aside  after boots that ended early: repeats of " (series(72) ? series(72) : "no fault")
}

function location(    copy, best) {
    if (word(31, 0) != sum(tag("LOCA"), 31, 1, 24)) {
        print "card       not located: an emergency write has to search for the partition"
        return
    }
    best = ""
    for (copy = 32; copy < 40; copy += 4) {
        if (word(31, copy + 2) != sum(tag("LOCA"), 31, copy, 2)) continue
        if (best == "" || (word(31, copy) - word(31, best) + WORD) % WORD < WORD / 2) best = copy
    }
    printf "card       located: partition of %d blocks from block %d on, %d crash slots; next log page %s\n", \
        word(31, 3), word(31, 1) + word(31, 2) * WORD, word(31, 4), best == "" ? "unknown" : word(31, best + 1)
}

# Counts the records in the log ring, by task.
function ring(    page, entry, at, block, end, records, alternate, head, who) {
    for (page = 0; page < PAGES; page++) {
        block = 33 + int(page / 8)
        entry = (page % 8) * 16
        if (word(block, entry + 4) != sum(tag("PAGE"), block, entry + 1, 3)) {
            if (word(block, entry)) DAMAGED++
            continue
        }
        alternate = entry + 7 + (word(block, entry + 6) ? 2 : 0)
        records = int(word(block, alternate + 1) / 65536)
        if (word(block, entry + 2) == BOOT && word(block, entry + 3) + records - 1 > ACCEPTED)
            ACCEPTED = word(block, entry + 3) + records - 1
        if (!word(block, entry) || !records) continue
        USED++
        if (word(block, entry) == tag("OPEN")) OPEN++
        at = 8
        end = 8 + (word(block, alternate + 1) % 65536) / 4
        # The entries are followed by 16 scratch blocks, then by the pages.
        block = 33 + PAGES / 8 + 16 + page
        while (records-- > 0 && at + 4 <= end && end <= 128) {
            head = word(block, at)
            who = int(head / 65536)
            HELD[who] += 16 + int((head % 65536 + 3) / 4) * 4
            COUNT[who]++
            LOST[who] += int(word(block, at + 1) / 65536)
            at += 4 + int((head % 65536 + 3) / 4)
        }
    }
    for (who in HELD) { BYTES += HELD[who]; RECORDS += COUNT[who]; MISSED += LOST[who] }
}

function ring_line() {
    printf "%s of %d bytes: %s in %d of %d pages %s not on the card yet; %s accepted in boot %d\n", BYTES + 0, PAGES * 480, \
        plural(RECORDS + 0, "record"), USED, PAGES, RECORDS == 1 ? "is" : "are", ACCEPTED + 0, BOOT + OFFSET
    if (DAMAGED) print "           " plural(DAMAGED, "page") " damaged"
}

BEGIN {
    WORD = 4294967296
    for (at = 0; at < 16; at++)
        for (other = 0; other < 16; other++) {
            value = 0
            for (bit = 1; bit < 16; bit *= 2) if (int(at / bit) % 2 != int(other / bit) % 2) value += bit
            XOR[at, other] = value
        }
    for (at = 32; at < 127; at++) CODE[sprintf("%c", at)] = at
    count = split(tasks, list, " ")
    for (at = 1; at <= count; at++) TASK[at - 1] = list[at]
    TASK[65535] = "kernel"
    # FaultInfo of the ABI, in order.
    count = split("MemoryAccess StackOverflow BusError DivideByZero IllegalText IllegalInstruction InvalidOperation " \
        "SyscallUsage Panic Injected FromServer", list, " ")
    for (at = 1; at <= count; at++) FAULT[at - 1] = list[at]
    NEXT = 0
}

/^0x[0-9a-f]* \| / {
    split($0, part, "|")
    count = split(part[2], values, " ")
    for (at = 1; at <= count; at++) MEMORY[NEXT++] = values[at]
}

END {
    if (FAILED) exit 1
    header()
    ring()
    if (what == "region") {
        printf "retained region of %d KiB: boot %d since power-on, boot %d of the card\n", size / 1024, BOOT, BOOT + OFFSET
        mailbox()
        history()
        location()
        printf "log ring   "
        ring_line()
        exit
    }
    printf "log ring: "
    ring_line()
    if (!USED) exit
    printf "  %-16s %7s %7s  %-14s %s\n", "task", "records", "bytes", "of its quota", "lost before them"
    for (who = 0; who < 65536; who++)
        if (who in HELD)
            printf "  %-16s %7d %7d  %-14s %d\n", task(who), COUNT[who], HELD[who], \
                quota ? int(HELD[who] * 100 / quota + 0.5) " % of " quota : "unknown", LOST[who]
}
