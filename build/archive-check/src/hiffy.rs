//! The variables of the executor of HIF programs

use super::dwarf::{Debug, Type};
use super::program::Program;
use super::{Report, Topic};

/// Variables of 4 bytes that Humility's `hiffy` and `manifest` look for.
const HIFFY_WORDS: [&str; 7] = [
    "HIFFY_READY",
    "HIFFY_KICK",
    "HIFFY_REQUESTS",
    "HIFFY_ERRORS",
    "HIFFY_VERSION_MAJOR",
    "HIFFY_VERSION_MINOR",
    "HIFFY_VERSION_PATCH",
];

/// Buffers that they look for, of any size.
const HIFFY_BUFFERS: [&str; 4] = ["HIFFY_TEXT", "HIFFY_DATA", "HIFFY_RSTACK", "HIFFY_FAILURE"];

/// Checks the program called `hiffy`.
pub fn check(program: &Program, debug: &Debug, report: &mut Report) {
    let size = |name: &str| {
        let variable = debug.variable(name)?;
        Some(program.symbol(&variable.linkage)?.size)
    };
    for name in HIFFY_WORDS {
        if size(name) != Some(4) {
            report.add(
                &program.member,
                Topic::Hiffy,
                format!("variable `{name}` must be there, with 4 bytes"),
            );
        }
    }
    for name in HIFFY_BUFFERS {
        if size(name).is_none() {
            report.add(
                &program.member,
                Topic::Hiffy,
                format!("variable `{name}` must be there"),
            );
        }
    }
    for (name, wanted) in [("HIFFY_VERSION_MAJOR", 0), ("HIFFY_VERSION_MINOR", 3)] {
        let found = program.initial_word(name);
        if found.is_some_and(|found| found != wanted) {
            report.add(
                &program.member,
                Topic::Hiffy,
                format!("variable `{name}` is {found:?}; Humility speaks version 0.3 alone"),
            );
        }
    }
    let functions = debug.variable("HIFFY_FUNCTIONS").and_then(|variable| {
        let option = debug.structure(variable.ty)?;
        let some = option
            .variants
            .iter()
            .find(|variant| variant.name == "Some")?;
        let pointer = debug.structure(some.ty)?.member("__0")?;
        match debug.ty(pointer.ty)? {
            Type::Pointer { to: Some(to) } => debug.structure(*to),
            _ => None,
        }
    });
    let pairs = functions.is_some_and(|it| {
        !it.variants.is_empty()
            && it.variants.iter().all(|variant| {
                debug
                    .structure(variant.ty)
                    .is_some_and(|it| it.is_tuple() && it.members.len() == 2)
            })
    });
    if !pairs {
        report.add(
            &program.member,
            Topic::Hiffy,
            "variable `HIFFY_FUNCTIONS` must be an Option of a pointer to an enum whose variants are pairs of arguments \
             and error",
        );
    }
}
