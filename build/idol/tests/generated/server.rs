//! The server's side

use crate::{Code, FORMS, fields, interfaces, signatures, text, trait_signatures};
use idol::server::ServerStyle;
use idol::{CounterSettings, Generator};
use std::collections::BTreeMap;

fn generate(generator: &Generator, contents: &str) -> String {
    generator
        .generate_restricted_server_support(contents, ServerStyle::InOrder, &BTreeMap::new())
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn trait_has_a_method_for_each_operation() {
    let code = Code::parse(&generate(&Generator::new(), FORMS));
    let server = code.definition_of_trait("InOrderFormsImpl");
    assert_eq!(
        text(&server.supertraits),
        "idol_runtime::NotificationHandler"
    );
    assert_eq!(
        trait_signatures(server),
        [
            "fnrecv_source(&self)->::core::option::Option<userlib::TaskId>",
            "fnclosed_recv_fail(&mutself)",
            "fnread(&mutself,msg:&userlib::RecvMessage,offset:u32,fast:bool,kind:Kind,\
             out:LenLimit<Leased<W,[u8]>,64>)->Result<u16,RequestError<ReadError>>\
             whereReadError:IHaveConsideredServerDeathWithThisErrorType",
            "fnlevel(&mutself,msg:&userlib::RecvMessage,unit:Unit)\
             ->Result<bool,RequestError<::core::convert::Infallible>>",
            "fnexchange(&mutself,msg:&userlib::RecvMessage,both:Leased<RW,[Word]>,fixed:Leased<R,[u32;4]>)\
             ->Result<(),RequestError<::core::convert::Infallible>>",
            "fnstatus(&mutself,msg:&userlib::RecvMessage,which:Which)->Result<Status,RequestError<StatusError>>\
             whereStatusError:::core::convert::From<ServerDeath>",
            "fnreason(&mutself,msg:&userlib::RecvMessage)->Result<Reason,RequestError<::core::convert::Infallible>>",
        ]
    );
}

#[test]
fn converted_arguments_are_raw_fields_with_an_accessor() {
    let code = Code::parse(&generate(&Generator::new(), FORMS));
    assert_eq!(
        fields(code.structure("Forms_read_ARGS")),
        ["offset:u32", "raw_fast:u8", "raw_kind:u8"]
    );
    assert_eq!(
        signatures(code.implementation("", "Forms_read_ARGS")),
        [
            "fnfast(&self)->bool",
            "fnkind(&self)->::core::option::Option<Kind>"
        ]
    );
    assert_eq!(fields(code.structure("Forms_level_ARGS")), ["raw_unit:u16"]);
    assert_eq!(
        signatures(code.implementation("", "Forms_level_ARGS")),
        ["fnunit(&self)->Unit"]
    );
    assert_eq!(fields(code.structure("Forms_status_ARGS")), ["which:Which"]);
}

#[test]
fn a_bool_arrives_as_a_byte_in_every_encoding() {
    for encoding in ["Zerocopy", "Ssmarshal", "Hubpack"] {
        let text = format!(
            "Interface(name: \"Forms\", ops: {{ \"tune\": (args: {{ \"step\": \"i8\", \"on\": \"bool\" }}, \
             reply: Simple(\"()\"), idempotent: true, encoding: {encoding}) }})"
        );
        let code = Code::parse(&generate(&Generator::new(), &text));
        let args = fields(code.structure("Forms_tune_ARGS"));
        assert_eq!(args, ["step:i8", "raw_on:u8"], "{encoding}");
        assert_eq!(
            signatures(code.implementation("", "Forms_tune_ARGS")),
            ["fnon(&self)->bool"],
            "{encoding}"
        );
    }
}

#[test]
fn messages_are_read_by_reference_or_by_value() {
    let code = generate(&Generator::new(), FORMS);
    for function in [
        "pub fn read_read_msg(bytes: &[u8]) -> ::core::option::Option<&Forms_read_ARGS>",
        "pub fn read_status_msg(bytes: &[u8]) -> ::core::option::Option<Forms_status_ARGS>",
        "pub fn read_reason_msg(bytes: &[u8]) -> ::core::option::Option<Forms_reason_ARGS>",
    ] {
        // The arguments of an operation that no task may call are not read.
        let unread = format!("#[allow(dead_code)]\n{function}");
        let unread_inline = format!("#[allow(dead_code)]\n#[inline(always)]\n{function}");
        assert!(
            code.contains(&unread) || code.contains(&unread_inline),
            "{function}"
        );
    }
}

#[test]
fn sizes_are_constants() {
    let code = generate(&Generator::new(), FORMS);
    for constant in [
        "READ_MSG_SIZE",
        "READ_REPLY_SIZE",
        "REASON_MSG_SIZE",
        "REASON_REPLY_SIZE",
        "INCOMING_SIZE",
    ] {
        assert!(
            code.contains(&format!("pub const {constant}: usize")),
            "{constant}"
        );
    }
}

#[test]
fn replies_of_fallible_operations_are_known_to_debuggers() {
    let code = Code::parse(&generate(&Generator::new(), FORMS));
    assert!(code.has("FORMS_READ_REPLY") && code.has("FORMS_EXCHANGE_REPLY"));
    assert_eq!(fields(code.structure("Forms_read_REPLY")), ["value:u16"]);
    assert!(!code.has("FORMS_LEVEL_REPLY") && !code.has("FORMS_STATUS_REPLY"));
}

#[test]
fn description_is_kept_to_the_byte() {
    let code = Code::parse(&generate(&Generator::new(), FORMS));
    let (ty, value, attributes) = code.find(|item| match item {
        syn::Item::Static(item) if item.ident == "_FORMS_IDOL_DEFINITION" => {
            Some((&item.ty, &item.expr, &item.attrs))
        }
        _ => None,
    });
    assert_eq!(text(ty), format!("[u8;{}]", FORMS.len()));
    let syn::Expr::Unary(syn::ExprUnary { expr, .. }) = value.as_ref() else {
        panic!("{}", text(value))
    };
    let syn::Expr::Lit(syn::ExprLit {
        lit: syn::Lit::ByteStr(bytes),
        ..
    }) = expr.as_ref()
    else {
        panic!("{}", text(value))
    };
    assert_eq!(bytes.value(), FORMS.as_bytes());
    assert!(
        attributes
            .iter()
            .map(text)
            .any(|attribute| attribute == "#[unsafe(link_section=\".idolatry\")]")
    );
}

#[test]
fn restricted_operations_check_their_caller_first() {
    let callers: BTreeMap<_, _> = [
        ("read".to_string(), vec![2, 5]),
        ("level".to_string(), vec![]),
    ]
    .into();
    let code = Generator::new()
        .generate_restricted_server_support(FORMS, ServerStyle::InOrder, &callers)
        .unwrap();
    let code = Code::parse(&code);
    let server = code.implementation(
        "idol_runtime::Server<FormsOperation>",
        "(::core::marker::PhantomData<FormsOperation>,&'_mutS)",
    );
    let server = text(server);
    let check = server
        .find("if!::core::matches!(rm.sender.index(),2|5)")
        .unwrap();
    assert!(check < server.find("read_read_msg").unwrap());
    assert!(
        !server.contains("read_level_msg"),
        "an operation without callers is never called"
    );
    assert!(server.contains("read_status_msg"));
}

#[test]
fn callers_of_unknown_operations_are_refused() {
    let callers: BTreeMap<_, _> = [("write".to_string(), vec![1])].into();
    let message = Generator::new()
        .generate_restricted_server_support(FORMS, ServerStyle::InOrder, &callers)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("operation \"write\", which the interface does not have"),
        "{message}"
    );
}

/// All operations share one error type, or not.
fn with_errors(first: &str, second: &str) -> String {
    format!(
        "Interface(name: \"Test\", ops: {{ \"one\": (reply: Result(ok: \"()\", err: {first})), \
         \"two\": (reply: Result(ok: \"()\", err: {second})) }})"
    )
}

#[test]
fn error_server_needs_one_error_type() {
    let same = with_errors("CLike(\"E\")", "CLike(\"E\")");
    let different = with_errors("CLike(\"E\")", "CLike(\"F\")");
    let none = with_errors("CLike(\"E\")", "ServerDeath");
    assert!(Code::parse(&generate(&Generator::new(), &same)).has("FailServer"));
    assert!(!Code::parse(&generate(&Generator::new(), &different)).has("FailServer"));
    assert!(!Code::parse(&generate(&Generator::new(), &none)).has("FailServer"));
    assert!(
        !Code::parse(&generate(&Generator::new().without_error_server(), &same)).has("FailServer")
    );
    let error = Generator::new()
        .with_error_server()
        .generate_restricted_server_support(&different, ServerStyle::InOrder, &BTreeMap::new())
        .unwrap_err();
    assert!(
        error.to_string().contains("do not share one error type"),
        "{error}"
    );
}

#[test]
fn outcomes_are_counted_on_request() {
    assert!(!generate(&Generator::new(), FORMS).contains("counters::"));
    let settings = CounterSettings::default().with_server_counters(true);
    let code = generate(&Generator::new().with_counters(settings), FORMS);
    assert!(code.contains("counters::counters!(__FORMS_SERVER_COUNTERS, FormsEvent);"));
    let code = Code::parse(&code);
    let events: Vec<_> = code
        .enumeration("FormsEvent")
        .variants
        .iter()
        .map(|event| text(&event.fields))
        .collect();
    let outcome = |error: &str| {
        format!(
            "(#[count(children)]::core::result::Result<(),idol_runtime::RequestError<{error}>>)"
        )
    };
    assert_eq!(events[0], outcome("ReadError"));
    // An operation without errors is counted alone, on both sides.
    assert_eq!(events[1], "");
    assert_eq!(events[2], outcome("::core::convert::Infallible"));
}

#[test]
fn interfaces_of_this_tree_generate() {
    for file in interfaces() {
        Code::parse(&generate(
            &Generator::new(),
            &std::fs::read_to_string(&file).unwrap(),
        ));
    }
}
