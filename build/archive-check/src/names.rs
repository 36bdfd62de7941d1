//! Types that Humility looks up by their bare names
//!
//! It looks in all programs together, and finds nothing if definitions of one name differ. The
//! structures of an enum's variants count too.

use super::dwarf::{Debug, Member, Struct, Type};
use super::program::Program;
use super::{Report, Topic};
use idol::syntax::{Interface, Reply};
use quote::ToTokens;
use std::collections::BTreeSet;

/// Structures of the kernel, of which all of one name must be equal.
const OF_KERNEL: [&str; 4] = ["Task", "SavedState", "TaskDesc", "RegionDesc"];

/// Checks that all definitions of a structure of the kernel are equal.
pub fn of_kernel(objects: &[Program], debugs: &[Debug], report: &mut Report) {
    for name in OF_KERNEL {
        let mut known: Option<String> = None;
        for (program, debug) in objects.iter().zip(debugs) {
            for it in debug.structs(name) {
                let shape = shape(debug, it);
                if known.get_or_insert_with(|| shape.clone()) != &shape {
                    report.add(
                        &program.member,
                        Topic::DebugInformation,
                        format!(
                            "defines a structure `{}` that differs from another one called `{name}`; Humility then finds \
                             neither, so rename it",
                            it.path
                        ),
                    );
                }
            }
        }
    }
}

/// Checks that the types of an interface's replies and errors have their names to themselves.
/// `server` is the member that serves it.
pub fn of_interface(server: &str, interface: &Interface, debugs: &[Debug], report: &mut Report) {
    let replies = interface.ops.values().map(|it| &it.reply);
    let names: BTreeSet<String> = replies
        .flat_map(|reply: &Reply| [Some(&reply.ok().ty), reply.error_type()])
        .flatten()
        .map(bare)
        .collect();
    for name in names {
        let mut paths = BTreeSet::new();
        let mut shapes = BTreeSet::new();
        for debug in debugs {
            for ty in debug.types.values() {
                match ty {
                    Type::Struct(it) if it.name == name => {
                        paths.insert(it.path.clone());
                        shapes.insert(format!("{} {}", it.path, shape(debug, it)));
                    }
                    _ => {}
                }
            }
        }
        if shapes.len() > 1 {
            report.add(
                server,
                Topic::Hiffy,
                format!(
                    "interface `{}` replies with `{name}`, which is the name of several structures or variants: {}; \
                     Humility then finds none, so rename all but one",
                    interface.name,
                    Vec::from_iter(paths).join(", ")
                ),
            );
        }
    }
}

/// The name of a type without its modules.
pub fn bare(ty: &syn::Type) -> String {
    let text = ty.to_token_stream().to_string().replace(' ', "");
    text.rsplit("::").next().unwrap_or_default().to_string()
}

fn shape(debug: &Debug, it: &Struct) -> String {
    let member = |member: &Member| {
        format!(
            "{}@{}:{}",
            member.name,
            member.offset,
            debug.describe(member.ty)
        )
    };
    let members: Vec<String> = it.members.iter().chain(&it.variants).map(member).collect();
    format!("{} {} {}", it.name, it.size, members.join(" "))
}
