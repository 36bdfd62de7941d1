//! Every rule of the language, and the message if it is broken

use idol::Generator;
use idol::syntax::{Encoding, Interface, Reply};

/// An interface with one operation, `op`.
fn with_op(operation: &str) -> String {
    format!("Interface(name: \"Test\", ops: {{ \"op\": ({operation}) }})")
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let message = text
        .parse::<Interface>()
        .expect_err("this interface breaks a rule")
        .to_string();
    assert!(
        message.contains(expected),
        "{message:?} does not say {expected:?}"
    );
}

/// Asserts that an operation is refused with a message that names it and contains `expected`.
#[track_caller]
fn op_refused(operation: &str, expected: &str) {
    refused(
        &with_op(operation),
        &format!("operation \"op\": {expected}"),
    );
}

#[track_caller]
fn op_accepted(operation: &str) {
    if let Err(problem) = with_op(operation).parse::<Interface>() {
        panic!("{problem}");
    }
}

#[test]
fn idempotent_operation_may_not_lease_for_reading_and_writing() {
    let leases = |read, write| {
        format!(
            "leases: {{ \"l\": (type: \"u8\", read: {read}, write: {write}) }}, reply: Simple(\"()\"), idempotent: true"
        )
    };
    op_refused(
        &leases(true, true),
        "an idempotent operation may not have a lease that is both read and written, as \"l\" is",
    );
    op_accepted(&leases(true, false));
    op_accepted(&leases(false, true));
    op_accepted(
        "leases: { \"l\": (type: \"u8\", read: true, write: true) }, reply: Result(ok: \"()\", err: CLike(\"E\"))",
    );
}

#[test]
fn idempotent_operation_does_not_report_server_death() {
    op_refused(
        "reply: Result(ok: \"()\", err: ServerDeath), idempotent: true",
        "an idempotent operation may not report ServerDeath",
    );
    op_accepted("reply: Result(ok: \"()\", err: ServerDeath)");
}

#[test]
fn operation_that_is_not_idempotent_replies_result_to_a_generated_client() {
    let simple = with_op("reply: Simple(\"()\")");
    let error = Generator::new()
        .generate_client_stub(&simple)
        .expect_err("its client would not learn of a death");
    assert!(
        error
            .to_string()
            .contains("operation \"op\": an operation that is not idempotent must reply Result"),
        "{error}"
    );
    // A server may be generated.
    op_accepted("reply: Simple(\"()\")");
    Generator::new()
        .generate_restricted_server_support(
            &simple,
            idol::server::ServerStyle::InOrder,
            &Default::default(),
        )
        .expect("a server");
    Generator::new()
        .generate_client_stub(&with_op("reply: Simple(\"()\"), idempotent: true"))
        .expect("a client");
}

#[test]
fn lease_grants_something() {
    op_refused(
        "leases: { \"l\": (type: \"u8\") }, reply: Simple(\"()\"), idempotent: true",
        "lease \"l\" must grant read or write",
    );
}

#[test]
fn max_len_goes_with_slices() {
    let lease = |ty, max_len| {
        format!(
            "leases: {{ \"l\": (type: \"{ty}\", read: true, max_len: Some({max_len})) }}, reply: Simple(\"()\"), \
             idempotent: true"
        )
    };
    op_refused(
        &lease("[u8; 4]", 4),
        "lease \"l\" may have a max_len only if its type is a slice",
    );
    op_refused(
        &lease("[u8]", 0),
        "the max_len of lease \"l\" must be at least 1",
    );
    op_accepted(&lease("[u8]", 1));
}

#[test]
fn recv_goes_with_zerocopy() {
    let args = |encoding| {
        format!(
            "args: {{ \"a\": (type: \"T\", recv: FromPrimitive(\"u8\")) }}, reply: Simple(\"()\"), idempotent: true, \
             encoding: {encoding}"
        )
    };
    op_accepted(&args("Zerocopy"));
    let rule = "argument \"a\" may have a recv only with encoding Zerocopy, not with ";
    op_refused(&args("Hubpack"), &format!("{rule}Hubpack"));
    op_refused(&args("Ssmarshal"), &format!("{rule}Ssmarshal"));
    // `recv` of the reply has no effect then, and is no error.
    op_accepted(
        "reply: Simple((type: \"T\", recv: From(\"u8\", None))), idempotent: true, encoding: Hubpack",
    );
}

#[test]
fn recv_is_from_a_primitive() {
    op_refused(
        "args: { \"a\": (type: \"T\", recv: FromPrimitive(\"Other\")) }, reply: Simple(\"()\"), idempotent: true",
        "the recv of argument \"a\" is FromPrimitive(\"Other\"), which is not a primitive type",
    );
}

#[test]
fn complex_errors_go_with_hubpack() {
    let reply =
        |encoding| format!("reply: Result(ok: \"()\", err: Complex(\"E\")), encoding: {encoding}");
    op_refused(
        &reply("Zerocopy"),
        "an error may be Complex only with encoding Hubpack, not with Zerocopy",
    );
    op_refused(
        &reply("Ssmarshal"),
        "an error may be Complex only with encoding Hubpack, not with Ssmarshal",
    );
    op_accepted(&reply("Hubpack"));
}

#[test]
fn names_are_distinct() {
    let op = "(reply: Simple(\"()\"), idempotent: true)";
    refused(
        &format!(
            "Interface(name: \"Test\", ops: {{ \"one\": {op}, \"two\": {op}, \"one\": {op} }})"
        ),
        "there are two operations with the name \"one\"",
    );
    op_refused(
        "args: { \"a\": \"u8\", \"a\": \"u16\" }, reply: Simple(\"()\"), idempotent: true",
        "there are two arguments with the name \"a\"",
    );
    op_refused(
        "args: { \"a\": \"u8\" }, leases: { \"a\": (type: \"u8\", read: true) }, reply: Simple(\"()\"), \
         idempotent: true",
        "\"a\" is the name of an argument and of a lease",
    );
    op_refused(
        "args: { \"msg\": \"u8\" }, reply: Simple(\"()\"), idempotent: true",
        "no argument or lease can have the name \"msg\"",
    );
}

#[test]
fn names_and_types_are_rust() {
    refused(
        "Interface(name: \"1st\", ops: {})",
        "the interface's name, \"1st\", is not a Rust identifier",
    );
    refused(
        "Interface(name: \"Test\", ops: { \"loop\": (reply: Simple(\"()\"), idempotent: true) })",
        "the operation's name, \"loop\", is not a Rust identifier",
    );
    op_refused(
        "args: { \"a\": \"Option<\" }, reply: Simple(\"()\"), idempotent: true",
        "the type of argument \"a\", \"Option<\", is not a Rust type",
    );
    op_refused(
        "reply: Simple(\"u 8\"), idempotent: true",
        "the type of the reply, \"u 8\", is not a Rust type",
    );
    op_refused(
        "reply: Result(ok: \"()\", err: CLike(\"\"))",
        "the type of the error, \"\", is not a Rust type",
    );
}

#[test]
fn an_interface_has_operations() {
    refused(
        "Interface(name: \"Test\", ops: {})",
        "an interface needs at least one operation",
    );
}

#[test]
fn broken_ron_is_refused_with_its_place() {
    refused("Interface(\n  name: \"Test\",\n  ops: [],\n)", "3:");
    refused(&with_op("idempotent: true"), "reply");
}

#[test]
fn message_names_the_file() {
    let file = std::env::temp_dir().join(format!("idol-test-{}.idol", std::process::id()));
    std::fs::write(&file, with_op("reply: Simple(\"()\")")).unwrap();
    let message = Generator::new()
        .generate_client_stub_from_file(&file)
        .unwrap_err()
        .to_string();
    std::fs::remove_file(&file).unwrap();
    assert!(
        message.starts_with(&format!("{}: operation \"op\": ", file.display())),
        "{message:?}"
    );

    let error = Generator::new()
        .generate_client_stub_from_file(&file)
        .unwrap_err();
    // What Rust prints when `main` returns it.
    assert_eq!(format!("{error:?}"), error.to_string());
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("{}: cannot be read: ", file.display())),
        "{message:?}"
    );
}

#[test]
fn order_defaults_comments_and_unknown_keys() {
    let interface: Interface = r#"
        // Comments are allowed.
        Interface(
            name: "Test",
            version: 3,
            ops: {
                "zeta": (
                    description: "in words",
                    args: { "b": "u8", "a": (type: "T") },
                    color: (red: [1, 2], name: Some("x")),
                    reply: Simple("u32"),
                    idempotent: true,
                ),
                "alpha": (
                    doc: "short",
                    description: "and long",
                    reply: Result(ok: "u8", err: CLike("crate::E")),
                ),
                "beta": (
                    doc: ["a", "list"],
                    description: (of: "anything"),
                    reply: Simple((type: "u8", doc: 7)),
                    leases: { "l": (type: "[u8]", read: true, doc: true) },
                    idempotent: true,
                ),
            },
        )
    "#
    .parse()
    .unwrap();
    let ops: Vec<_> = interface.ops.keys().map(ToString::to_string).collect();
    assert_eq!(ops, ["zeta", "alpha", "beta"]);
    let zeta = &interface.ops[0];
    assert_eq!(zeta.doc, "in words");
    assert_eq!(
        zeta.args
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["b", "a"]
    );
    assert!(zeta.leases.is_empty());
    assert_eq!(interface.ops[2].doc, "");
    let alpha = &interface.ops[1];
    assert_eq!(alpha.doc, "short and long");
    assert_eq!(
        (alpha.encoding, alpha.idempotent),
        (Encoding::Zerocopy, false)
    );
    assert!(matches!(alpha.reply, Reply::Result { .. }));
}
