//! The client's side

use crate::{Code, FORMS, interfaces, signatures, text, variants};
use idol::{CounterSettings, Generator};

#[test]
fn operations_are_numbered_from_1() {
    let code = Code::parse(&Generator::new().generate_client_stub(FORMS).unwrap());
    let number = |name: &str, number: &str| (name.to_string(), Some(number.to_string()));
    assert_eq!(
        variants(code.enumeration("FormsOperation")),
        [
            number("read", "1"),
            number("level", "2"),
            number("exchange", "3"),
            number("status", "4"),
            number("reason", "5")
        ]
    );
}

#[test]
fn methods_have_arguments_then_leases() {
    let code = Code::parse(&Generator::new().generate_client_stub(FORMS).unwrap());
    assert_eq!(
        signatures(code.implementation("", "Forms")),
        [
            "fnread(&self,offset:u32,fast:bool,kind:Kind,out:&mut[u8])->Result<u16,ReadError>",
            "fnlevel(&self,unit:Unit)->bool",
            "fnexchange(&self,both:&mut[Word],fixed:&[u32;4])->Result<(),ServerDeath>",
            "fnstatus(&self,which:Which)->Result<Status,StatusError>",
            "fnreason(&self)->Reason",
        ]
    );
    assert_eq!(
        signatures(code.implementation("::core::convert::From<userlib::TaskId>", "Forms")),
        ["fnfrom(id:userlib::TaskId)->Self"]
    );
}

#[test]
fn structures_for_debuggers_are_there() {
    let code = Generator::new().generate_client_stub(FORMS).unwrap();
    for name in [
        "Forms_read_ARGS",
        "Forms_read_REPLY",
        "Forms_level_ARGS",
        "Forms_level_REPLY",
        "Forms_status_ARGS",
    ] {
        assert!(code.contains(&format!("struct {name}")), "{name}");
    }
    // A reply in another encoding than Zerocopy has no such structure.
    assert!(!code.contains("struct Forms_status_REPLY"));
}

#[test]
fn only_idempotent_operations_are_repeated() {
    let code = Code::parse(&Generator::new().generate_client_stub(FORMS).unwrap());
    for item in &code.implementation("", "Forms").items {
        let syn::ImplItem::Fn(function) = item else {
            continue;
        };
        let repeated = text(&function.block).contains("loop{");
        assert_eq!(
            repeated,
            matches!(function.sig.ident.to_string().as_str(), "level" | "reason")
        );
    }
}

#[test]
fn nothing_is_counted_unless_asked_for() {
    assert!(
        !Generator::new()
            .generate_client_stub(FORMS)
            .unwrap()
            .contains("counters::")
    );
    let settings = CounterSettings::default().with_client_counters(false);
    let code = Generator::new()
        .with_counters(settings)
        .generate_client_stub(FORMS)
        .unwrap();
    assert!(!code.contains("counters::"));
}

/// Crates that include upstream's clients call `unwrap_lite` without an import of their own.
#[test]
fn unwrap_lite_is_imported() {
    let code = Generator::new().generate_client_stub(FORMS).unwrap();
    assert!(code.contains("use userlib::UnwrapLite;"));
}

#[test]
fn events_are_operations_with_their_outcome() {
    let generate = |combine| {
        let settings = CounterSettings::default()
            .with_client_counters(true)
            .combine_client_errors(combine);
        let code = Generator::new()
            .with_counters(settings)
            .generate_client_stub(FORMS)
            .unwrap();
        assert!(code.contains("counters::counters!(__FORMS_CLIENT_COUNTERS, FormsEvent);"));
        let code = Code::parse(&code);
        let variants = &code.enumeration("FormsEvent").variants;
        variants
            .iter()
            .map(|variant| text(&variant.fields))
            .collect::<Vec<_>>()
    };
    let outcome = |error: &str| format!("(#[count(children)]::core::result::Result<(),{error}>)");
    let (read, death, status) = (
        outcome("ReadError"),
        outcome("idol_runtime::ServerDeath"),
        outcome("StatusError"),
    );
    assert_eq!(
        generate(false),
        [read, String::new(), death, status, String::new()]
    );
    let any = outcome("()");
    assert_eq!(
        generate(true),
        [any.clone(), String::new(), any.clone(), any, String::new()]
    );
}

#[test]
fn further_derives_are_added() {
    let generator = Generator::new()
        .with_op_enum_derives(["counters::Count", "Hash"])
        .unwrap();
    let code = Code::parse(&generator.generate_client_stub(FORMS).unwrap());
    let attributes: Vec<_> = code
        .enumeration("FormsOperation")
        .attrs
        .iter()
        .map(text)
        .collect();
    assert!(
        attributes.contains(
            &"#[derive(Copy,Clone,Debug,Eq,PartialEq,userlib::FromPrimitive,counters::Count,Hash)]"
                .to_string()
        )
    );
    assert!(
        Generator::new()
            .with_op_enum_derives(["not a path"])
            .is_err()
    );
}

#[test]
fn unformatted_code_is_the_same_code() {
    let formatted = Generator::new().generate_client_stub(FORMS).unwrap();
    let plain = Generator::new()
        .with_fmt(false)
        .generate_client_stub(FORMS)
        .unwrap();
    let signatures_of = |code| signatures(Code::parse(code).implementation("", "Forms"));
    assert_eq!(signatures_of(&formatted), signatures_of(&plain));
}

#[test]
fn interfaces_of_this_tree_generate() {
    for file in interfaces() {
        let code = idol::client::generate_client_stub_from_file(&file)
            .unwrap_or_else(|error| panic!("{error}"));
        Code::parse(&code);
    }
}
