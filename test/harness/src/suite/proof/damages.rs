//! Damages of an archive, each in one place, and what `check-archive` must say about them.

use super::archive::Archive;
use anyhow::Result;

/// Name of a damage, what it does to the archive, and what the check must say.
pub(super) type Damage = (&'static str, fn(&mut Archive) -> Result<()>, &'static str);

/// One damage for each rule of `check-archive` that a change in one place can violate.
pub(super) const DAMAGES: &[Damage] = &[
    (
        "comment",
        |a| a.comment("hubris build archive v11\n"),
        "it must be `hubris build archive v11`",
    ),
    (
        "version",
        |a| a.comment("hubris build archive v12"),
        "has version 12",
    ),
    (
        "no image",
        |a| a.remove("img/final.elf"),
        "has no member img/final.elf",
    ),
    ("order", |a| a.reverse_tasks(), "in the same order"),
    (
        "junk",
        |a| a.add("elf/task/notes", b"junk"),
        "elf/task/notes: is no 32-bit ELF file",
    ),
    (
        "a task twice",
        |a| a.copy("elf/task/idle", "elf/task/idle2"),
        "its .text is where that of idle is",
    ),
    (
        "image flags",
        |a| a.image_flags(),
        "other flags than WRITE and ALLOC",
    ),
    (
        "machine",
        |a| a.set("elf/task/idle", 18, &[3]),
        "its machine is not EM_ARM",
    ),
    (
        "no frames",
        |a| a.rename("elf/task/idle", ".debug_frame", ".debug_fname"),
        "has no section .debug_frame",
    ),
    (
        "no lines",
        |a| a.rename("elf/task/jefe", ".debug_line", ".debug_lane"),
        "has .debug_info but no .debug_line",
    ),
    (
        "current task",
        |a| a.size("elf/kernel", "CURRENT_TASK_PTR", 8),
        "`CURRENT_TASK_PTR` must be there, with 4 bytes",
    ),
    (
        "image id",
        |a| a.size("elf/kernel", "HUBRIS_IMAGE_ID", 0),
        "`HUBRIS_IMAGE_ID` must be there",
    ),
    (
        "task table",
        |a| a.size("elf/kernel", "HUBRIS_TASK_TABLE_SPACE", 12),
        "`HUBRIS_TASK_TABLE_SPACE` has Some(12) bytes",
    ),
    (
        "odd function",
        |a| a.size("elf/task/idle", "_start", 7),
        "function `_start` has the odd size 7",
    ),
    (
        "kernel stack",
        |a| a.rename("elf/kernel", "_stack_base", "_stack_bose"),
        "symbols `_stack_base`",
    ),
    (
        "variant",
        |a| a.rename("elf/kernel", "InRecv", "InRecw"),
        "enum `SchedState` must have the variants",
    ),
    (
        "member",
        |a| a.rename("elf/kernel", "to_post", "to_past"),
        "structure `Task`: member `timer`",
    ),
    (
        "descriptor",
        |a| a.rename("elf/kernel", "entry_point", "entry_paint"),
        "structure `TaskDesc` must have",
    ),
    (
        "another Task",
        |a| a.rename("elf/task/jefe", "TaskDumpRegion", "Task\0DumpRegio"),
        "differs from another one called `Task`",
    ),
    (
        "ring buffer",
        |a| a.rename("elf/task/crashlog", "generation", "generotion"),
        "`generation` of an entry must be a u16",
    ),
    (
        "version of DWARF",
        |a| a.dwarf_version("elf/task/crashlog", 5),
        "DWARF version 5",
    ),
    (
        "interface",
        |a| a.rename("elf/task/crashlog", "Interface(", "Interfoce("),
        "section .idolatry",
    ),
    (
        "interrupt",
        |a| a.text("app.toml", "\"sdhci.irq\"", "\"sdhci.iry\""),
        "is not in chip.toml",
    ),
    (
        "memory",
        |a| a.text("memory.toml", "[[crash]]", "[crash]"),
        "is no list of tables",
    ),
    (
        "not a program",
        |a| a.set("elf/task/idle", 0, b"\x7fELK"),
        "elf/task/idle: is no 32-bit ELF file",
    ),
    ("revision", |a| a.replace("git-rev", &[0xff]), "is no UTF-8"),
    (
        "probe",
        |a| a.replace("img/flash.ron", b"(chip: AST2600)"),
        "is no RON with a field `chip`",
    ),
    (
        "image type",
        |a| a.set("img/final.elf", 16, &[2]),
        "its type must be ET_REL",
    ),
    (
        "image entry",
        |a| a.set("img/final.elf", 24, &[0, 0, 0, 0]),
        "its entry 0x0 is not in flash",
    ),
    (
        "image segment",
        |a| a.set("img/final.elf", 52 + 12, &[0, 0, 0, 0]),
        "its PT_LOAD does not cover its sections",
    ),
    (
        "image of another build",
        |a| a.flash("HUBRIS_IMAGE_ID", 0, &[1, 2, 3]),
        "the archive is of two builds",
    ),
    (
        "target",
        |a| a.text("app.toml", "\ntarget = ", "\ntargett = "),
        "has no string `target`",
    ),
    (
        "kernel features",
        |a| a.text("app.toml", "features = [\"dump\"]", "features = \"dump\""),
        "kernel.features: is no list of strings",
    ),
    (
        "extern region",
        |a| a.text("memory.toml", "[[crash]]", "[[crush]]"),
        "has no `crash`, which task",
    ),
    (
        "bound to nothing",
        |a| a.text("app.toml", "= \"sdhci-irq\"", "= \"sdhci-irk\""),
        "which is no notification of the task",
    ),
    (
        "chip",
        |a| a.text("chip.toml", "address = ", "adress = "),
        "needs address and size",
    ),
    (
        "patches with another key",
        |a| a.new_member("patches.toml", b"name = \"x\"\nfeature = 1\n"),
        "it must have `name` and `features` and no other",
    ),
    (
        "patches of no task",
        |a| {
            a.new_member(
                "patches.toml",
                b"name = \"x\"\n[features]\nnobody = [\"a\"]\n",
            )
        },
        "has features of `nobody`, which is no task",
    ),
    (
        "no symbols",
        |a| a.section_type("elf/task/idle", ".symtab", 1),
        "has no .symtab",
    ),
    (
        "no ranges",
        |a| a.rename("elf/task/jefe", ".debug_ranges", ".debug_rangos"),
        "has .debug_info but no .debug_ranges",
    ),
    (
        "no text",
        |a| a.rename("elf/task/idle", ".text", ".texd"),
        "has no section .text",
    ),
    (
        "old table",
        |a| a.rename("elf/kernel", "KERNEL_HAS_FAILED", "TASK_TABLE_BASE\0\0"),
        "`TASK_TABLE_BASE` is there",
    ),
    (
        "ticks",
        |a| a.size("elf/kernel", "TICKS", 4),
        "variable `TICKS` must have 8 bytes",
    ),
    (
        "descriptors",
        |a| a.size("elf/kernel", "HUBRIS_TASK_DESCS", 8),
        "variable `HUBRIS_TASK_DESCS` has Some(8) bytes",
    ),
    (
        "kernel statics",
        |a| a.rename("elf/kernel", "__eheap", "__eheep"),
        "symbols `__sbss` and `__eheap`",
    ),
    (
        "attributes",
        |a| a.flash("HUBRIS_REGION_DESCS", 12, &[0x20]),
        "Humility knows bits 0 to 4",
    ),
    (
        "saved state",
        |a| a.rename("elf/kernel", "psp", "pzp"),
        "structure `SavedState`: member `psp`",
    ),
    (
        "entry",
        |a| a.program("elf/task/idle", "_start", 0, &[0x00, 0xb5]),
        "the entry `_start` moves the stack pointer",
    ),
    (
        "hiffy",
        |a| a.size("elf/task/hiffy", "HIFFY_KICK", 8),
        "variable `HIFFY_KICK` must be there, with 4 bytes",
    ),
    (
        "interrupts",
        |a| {
            a.text(
                "app.toml",
                "[tasks.console.interrupts]\n\"uart1.irq\" = \"uart1-irq\"\n",
                "[[tasks.console.interrupts]]\n",
            )
        },
        "`interrupts` is no table",
    ),
    (
        "mask",
        |a| a.text("app.toml", "= \"sdhci-irq\"", "= -1"),
        "is bound to -1",
    ),
    (
        "frame of a stub",
        |a| a.move_frame("elf/task/jefe", "_start", "userlib::sys_recv_stub"),
        "would count what it pushes twice",
    ),
    (
        "no frame of a function",
        |a| a.move_frame("elf/task/idle", "_start", "main"),
        "function `_start` has no frame",
    ),
    (
        "rule of a frame",
        // DW_CFA_same_value r4
        |a| a.end_of_frame("elf/task/idle", "main", &[8, 4]),
        "saves register 4 other than at CFA",
    ),
    (
        "stack pointer in a stub",
        // SUB SP, #8
        |a| a.program("elf/task/jefe", "sys_panic_stub", 4, &[0x82, 0xb0]),
        "moves the stack pointer before its SVC",
    ),
    (
        "ring buffer without symbol",
        |a| a.size("elf/task/crashlog", "__RINGBUF", 0),
        "variable `__RINGBUF` has no symbol",
    ),
    (
        "two variables at one place",
        |a| {
            a.same_place(
                "elf/task/crashlog",
                "__CRASHLOG_SERVER_COUNTERS",
                "__RINGBUF",
            )
        },
        "Humility sees that one alone",
    ),
    (
        "a name twice in the kernel",
        |a| a.rename("elf/kernel", "CALLS", "TICKS"),
        "variable `TICKS` is there again",
    ),
    (
        "a name of the executor's",
        |a| {
            a.rename(
                "elf/task/jefe",
                "JEFE_EXTERNAL_KICK",
                "HIFFY_KICK\0\0\0\0\0\0\0\0",
            )
        },
        "variable `HIFFY_KICK` is there again",
    ),
    (
        "error of an operation",
        |a| a.rename("elf/task/crashlog", "CrashLogError", "CrashLogErrar"),
        "its error `CrashLogError` is no enum",
    ),
    (
        "version of the executor",
        |a| a.program("elf/task/hiffy", "HIFFY_VERSION_MINOR", 0, &[4]),
        "Humility speaks version 0.3 alone",
    ),
    (
        "counters of a client",
        |a| a.rename("elf/task/crashlog", "JefeEventCounts", "JefeEvensCounts"),
        "takes the interface's name from",
    ),
    ("regions", |a| a.enlarge_region(), "two regions overlap"),
    (
        "statics that reach into .data",
        |a| a.same_place("elf/kernel", "__eheap", "__edata"),
        "(`__sbss` to `__eheap`) overlap at",
    ),
    (
        "two types of one name",
        |a| a.rename("elf/task/crashlog", "DescribeCrash", "CrashInfo\0ash"),
        "interface `CrashLog` replies with `CrashInfo`, which is the name of several",
    ),
    (
        "the image ends early",
        |a| a.shorten_image(),
        "is not whole in img/final.elf",
    ),
];
