//! The messages for mistakes in a configuration file

use crate::testing::Files;

/// Replaces `from`, which must be there, by `to` in `app.toml`, and returns the error.
fn app(from: &str, to: &str) -> String {
    let mut files = Files::good();
    assert!(files.app.contains(from), "{from}");
    files.app = files.app.replacen(from, to, 1);
    files.error()
}

fn memory(from: &str, to: &str) -> String {
    let mut files = Files::good();
    assert!(files.memory.contains(from), "{from}");
    files.memory = files.memory.replacen(from, to, 1);
    files.error()
}

#[test]
fn a_good_application_is_accepted() {
    assert_eq!(Files::good().error(), "no error");
}

#[test]
fn keys_and_values() {
    let cases = [
        (
            "priority = 2",
            "priorty = 2",
            "app.toml:20: tasks.net.priorty: unknown key; did you mean `priority`?",
        ),
        (
            "priority = 2",
            "",
            "app.toml:18: tasks.net.priority: missing",
        ),
        (
            "priority = 2",
            "priority = 256",
            "app.toml:20: tasks.net.priority: is integer `256`, must be a number from 0 to 255",
        ),
        (
            "stacksize = 2048",
            "stacksize = '2k'",
            "app.toml:21: tasks.net.stacksize: is string \"2k\", must be a number from 0 to 0xffff_ffff",
        ),
        (
            "board = \"bench\"",
            "board = \"bensh\"",
            "app.toml:3: board: no file boards/bensh.toml; did you mean `bench`?",
        ),
        (
            "target",
            "targt",
            "app.toml:2: targt: unknown key; did you mean `target`?",
        ),
        ("board = \"bench\"", "board = bench", "app.toml:3: "),
        (
            "chip = \"chip\"",
            "chip = \"chips\"",
            "app.toml:4: chip: cannot read chips/chip.toml: No such file or directory (os error 2)",
        ),
        (
            "stacksize = 1024",
            "caboose = { }",
            "app.toml:5: caboose: not supported: an image that is loaded as an ELF file has no caboose; remove it",
        ),
    ];
    for (from, to, expected) in cases {
        let error = app(from, to);
        assert!(error.starts_with(expected), "{error}\n{expected}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn priorities() {
    let cases = [
        (
            "priority = 0",
            "priority = 1",
            "app.toml:13: tasks.jefe.priority: is 1; the first task is the supervisor and must have priority 0",
        ),
        (
            "priority = 2",
            "priority = 0",
            "app.toml:20: tasks.net.priority: is 0, which is for the supervisor, `jefe`, alone",
        ),
        (
            "priority = 2",
            "priority = 5",
            "app.toml:20: tasks.net.priority: is 5, must be more important (less) than that of `idle`, 5",
        ),
        (
            "[tasks.idle]",
            "[tasks.lazy]",
            "app.toml: tasks: no task is named `idle`; the kernel needs one that can always run",
        ),
    ];
    for (from, to, expected) in cases {
        let error = app(from, to);
        // The line of `tasks` itself is that of the first table in it.
        let error = error.replace("app.toml:11: tasks:", "app.toml: tasks:");
        assert_eq!(error, expected);
    }
}

#[test]
fn tasks_send_uphill_only() {
    assert_eq!(
        app("[\"jefe\"]", "[\"jeff\"]"),
        "app.toml:25: tasks.net.task-slots: slot `jeff`: `jeff` is not a task; did you mean `jefe`?"
    );
    assert_eq!(
        app("[\"jefe\"]", "[{ peer = \"idle\" }]"),
        "app.toml:25: tasks.net.task-slots: slot `peer`: `idle` (priority 5) must be more important than `net` (priority 2); \
         tasks send uphill only"
    );
    assert_eq!(app("[\"jefe\"]", "[{ self = \"net\" }]"), "no error");
}

#[test]
fn who_may_end_a_task() {
    let with = |callers: &str| {
        let table = format!("[kernel.allowed-callers]\n{callers}\n\n[tasks.jefe]");
        app("[tasks.jefe]", &table)
    };
    assert_eq!(
        with("reinit_task = [\"net\"]\nreset = [\"idle\", \"net\"]"),
        "no error"
    );
    assert_eq!(
        with("fault_task = [\"nett\"]"),
        "app.toml:12: kernel.allowed-callers.fault_task: `nett` is not a task; did you mean `net`?"
    );
    assert_eq!(
        with("reset = [\"net\", \"net\"]"),
        "app.toml:12: kernel.allowed-callers.reset: `net` is named twice"
    );
    assert_eq!(
        with("reinit_tsk = [\"net\"]"),
        "app.toml:12: kernel.allowed-callers.reinit_tsk: unknown key; did you mean `reinit_task`?"
    );
}

#[test]
fn notifications_and_interrupts() {
    let cases = [
        (
            "\"eth.irq\" =",
            "\"eth\" =",
            "app.toml:23: tasks.net.interrupts.eth: must be \"peripheral.interrupt\"",
        ),
        (
            "\"eth.irq\" =",
            "\"etc.irq\" =",
            "app.toml:23: tasks.net.interrupts.\"etc.irq\": `etc` is not a peripheral of the chip; did you mean `eth`?",
        ),
        (
            "\"eth.irq\" =",
            "\"eth.tx\" =",
            "app.toml:23: tasks.net.interrupts.\"eth.tx\": `eth` has no interrupt `tx`; known are irq",
        ),
        (
            "= \"eth-irq\" }",
            "= \"eth-rq\" }",
            "app.toml:23: tasks.net.interrupts.\"eth.irq\": `eth-rq` is not among the task's notifications; did you mean `eth-irq`?",
        ),
        (
            "= \"eth-irq\" }",
            "= \"timer\" }",
            "app.toml:23: tasks.net.interrupts.\"eth.irq\": `timer` is posted by an interrupt, so its name must end in `-irq`",
        ),
        (
            "[\"timer\", \"eth-irq\"]",
            "[\"timer\", \"timer\"]",
            "app.toml:24: tasks.net.notifications: `timer` is named twice",
        ),
        (
            "[\"fault\", \"timer\"]",
            "[\"timer\"]",
            "app.toml:15: tasks.jefe.notifications: the first must be \"fault\": it is the bit that the kernel posts",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(app(from, to), expected);
    }
    let mut files = Files::good();
    files.app = files.app.replace(
        "stacksize = 256",
        "stacksize = 256\nnotifications = ['x-irq']\ninterrupts = { 'eth.irq' = 'x-irq' }",
    );
    assert_eq!(
        files.error(),
        "app.toml:32: tasks.idle.interrupts.\"eth.irq\": interrupt 61 belongs to task `net` already"
    );
}

#[test]
fn regions() {
    let cases = [
        (
            "[\"eth\"]",
            "[\"ethernet\"]",
            "app.toml:22: tasks.net.uses: `ethernet` is neither a peripheral nor extra text; known are eth, uart",
        ),
        (
            "[\"crash\"]",
            "[\"crsh\"]",
            "app.toml:16: tasks.jefe.extern-regions: `crsh` is not a memory output; did you mean `crash`?",
        ),
        (
            "[\"crash\"]",
            "[\"ram\"]",
            "app.toml:16: tasks.jefe.extern-regions: `ram` is divided among the tasks, so none can have it as a whole",
        ),
        (
            "name = \"kern\"",
            "name = \"kern\"\nextern-regions = [{ region = \"crash\" }]",
            "app.toml:17: tasks.jefe.extern-regions: `crash` is the kernel's; its entry there needs `shared = true`",
        ),
        (
            "requires = { flash",
            "requires = { flesh",
            "app.toml:9: kernel.requires.flesh: is not a memory output; did you mean `flash`?",
        ),
        (
            "stacksize = 2048",
            "stacksize = 2047",
            "app.toml:21: tasks.net.stacksize: is 2047, must be a multiple of 8 and not 0",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(app(from, to), expected);
    }
    let mut files = Files::good();
    let names: Vec<String> = (0..6).map(|i| format!("p{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        files.chip.push_str(&format!(
            "[{name}]\naddress = {}\nsize = 4096\n",
            0x5000_0000 + i * 4096
        ));
    }
    files.app = files
        .app
        .replace("uses = [\"eth\"]", &format!("uses = {names:?}"));
    assert_eq!(
        files.error(),
        "app.toml:22: tasks.net.uses: the task needs 8 regions (2 of its own, 0 extern-regions, 6 peripherals); there are 7"
    );
}

#[test]
fn other_files() {
    assert_eq!(
        memory("[[crash]]\nname = \"default\"", "[[crash]]\nname = \"b\""),
        "memory.toml:15: crash: has 0 entries for image `default`, must have one"
            .replace("memory", "chip/memory")
    );
    assert_eq!(
        memory("0x2001_0000", "0x2000_7000"),
        "chip/memory.toml:15: crash: overlaps `ram` in image `default`"
    );
    assert_eq!(
        memory("size = 0x8000", "size = 0x8010"),
        "chip/memory.toml:8: ram: address 0x20000000 and size 0x8010 must be multiples of the board's region-granule, 0x1000"
    );
    let mut files = Files::good();
    files.chip = files.chip.replace("size = 0x1000", "size = 0x800");
    assert_eq!(
        files.error(),
        "chip/chip.toml:3: eth.size: is 0x800, must be a multiple of the board's region-granule, 0x1000"
    );
    let mut files = Files::good();
    files.board = files.board.replace("kernel-target", "kernel_target");
    assert_eq!(
        files.error(),
        "boards/bench.toml:2: substrate.kernel_target: unknown key; did you mean `kernel-target`?"
    );
}

/// Of an application of another architecture what is wrong anywhere is said first.
#[test]
fn what_only_this_architecture_refuses_comes_last() {
    let mut files = Files::good();
    files.board = String::new();
    files.chip = files.chip.replace("size = 0x1000", "size = 0x2484");
    files.app = files.app.replace("{ flash", "{ flesh");
    assert!(files.error().contains("kernel.requires.flesh"));
    files.app = files.app.replace("{ flesh", "{ flash");
    assert_eq!(
        files.error(),
        "boards/bench.toml: substrate: missing; the board needs the target of the kernel and the region-granule of its \
         memory protection"
    );
    files.board = Files::good().board;
    assert!(files.error().ends_with(
        "eth.size: is 0x2484, must be a multiple of the board's region-granule, 0x1000"
    ));
}

#[test]
fn a_memory_output_without_a_name_is_for_the_default_image() {
    let mut files = Files::good();
    files.memory = files.memory.replace("name = \"default\"\n", "");
    let config = files.load().expect("good");
    assert_eq!(config.memory["crash"][0].name, "default");
}

#[test]
fn crates_elsewhere() {
    assert_eq!(
        app(
            "name = \"task-net\"",
            "name = \"task-net\"\npath = \"../net\""
        ),
        "app.toml:20: tasks.net.path: `../net` has no Cargo.toml; it is relative to app.toml"
    );
    let itself = "bindeps = [{ name = \"task-net\", target = \"thumbv7em-none-eabihf\" }]";
    assert_eq!(
        app(
            "name = \"task-net\"",
            &format!("name = \"task-net\"\n{itself}")
        ),
        "app.toml:20: tasks.net.bindeps: a task cannot embed itself"
    );
}

/// Keys of upstream's schema that have no meaning here are refused by name, and none is ignored.
#[test]
fn what_needs_other_hardware_is_refused() {
    let cases = [
        (
            "mmio = { peripheral-region = \"fpga\", register-map = \"map.json\" }",
            "mmio",
        ),
        ("auxflash = { blobs = [] }", "auxflash"),
        (
            "caboose = { tasks = [\"net\"], region = \"flash\", size = 256 }",
            "caboose",
        ),
        ("signing = { certs = {} }", "signing"),
    ];
    for (line, key) in cases {
        let error = app("stacksize = 1024", &format!("stacksize = 1024\n{line}"));
        let begin = format!("app.toml:6: {key}: not supported: ");
        assert!(
            error.starts_with(&begin) && error.ends_with("; remove it"),
            "{error}"
        );
    }
}

/// All other keys are accepted.
#[test]
fn every_other_key_is_accepted() {
    let mut files = Files::good();
    files.app = files.app.replacen(
        "stacksize = 1024",
        "stacksize = 1024\nmemory = \"memory.toml\"\ndefault-ram = \"ram\"\nimage-names = [\"default\"]\nepoch = 1\nversion = 2\n\
         config = { anything = [1, 2] }\nextratext = { rom = { address = 0x0900_0000, size = 0x1000 } }",
        1,
    );
    files.app = files.app.replacen(
        "name = \"kern\"",
        "name = \"kern\"\nstacksize = 2048\nfeatures = [\"dump\"]\nno-default-features = true\ndefault-ram = \"ram\"\n\
         extern-regions = [{ region = \"crash\", shared = true }]",
        1,
    );
    files.app = files.app.replacen(
        "priority = 2",
        "priority = 2\nstart = true\nfeatures = [\"a\"]\nno-default-features = true\ndefault-ram = \"ram\"\n\
         max-sizes = { flash = 0x4000 }\nsections = { extra = \"ram\" }\ncopy-to-archive = [\"files\"]\n\
         config = { files = \"*.txt\" }\n\
         bindeps = [{ name = \"other\", target = \"thumbv7em-none-eabihf\", features = [\"x\"] }]",
        1,
    );
    files.app = files
        .app
        .replacen("uses = [\"eth\"]", "uses = [\"eth\", \"rom\"]", 1);
    assert_eq!(files.error(), "no error");
}

/// The table, and not a key that it would have.
#[test]
fn a_table_that_is_missing_is_named() {
    let mut files = Files::good();
    let (before, after) = files.app.split_once("[kernel]").expect("a kernel");
    let (_, tasks) = after.split_once("\n\n").expect("tasks");
    files.app = format!("{before}{tasks}");
    assert_eq!(files.error(), "app.toml: kernel: missing");

    let mut files = Files::good();
    let (before, _) = files.app.split_once("[tasks.jefe]").expect("tasks");
    files.app = before.to_string();
    assert_eq!(files.error(), "app.toml: tasks: missing");
}
