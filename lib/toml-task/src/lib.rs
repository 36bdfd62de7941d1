//! The `[tasks.<name>]` table of an `app.toml`.
//!
//! Two programs read this table: xtask, which checks and builds the whole application, and the
//! build script of a task, which gets its own table and those of the other tasks in environment
//! variables (crate `build-util`). Both use the types here, so that there is one schema.

#![forbid(unsafe_code)]

use indexmap::IndexMap;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// One task of the application, with a task-defined `config` of type `T`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task<T> {
    /// Name of the crate, and of the binary in it, that the task runs. Several tasks may run the
    /// same crate.
    pub name: String,
    /// Folder of the crate, relative to app.toml. Default: a crate of the workspace of the tools.
    /// Not in upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Scheduling priority: 0 is the most important, and is for task 0 alone.
    pub priority: u8,
    /// Bytes of stack, a multiple of 8. Default: the application's `stacksize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stacksize: Option<u32>,
    /// Runnable at boot; otherwise stopped until the supervisor starts it.
    #[serde(default)]
    pub start: bool,
    /// Peripherals (of `chip.toml`) and `extratext` regions mapped into the task, one region each.
    #[serde(default)]
    pub uses: Vec<String>,
    /// Cargo features of the crate.
    #[serde(default)]
    pub features: Vec<String>,
    /// Build the crate without its default Cargo features.
    #[serde(default)]
    pub no_default_features: bool,
    /// Names of the task's notification bits; position is bit number.
    #[serde(default)]
    pub notifications: Vec<String>,
    /// `"peripheral.interrupt"` to the notification that it posts, whose name ends in `-irq`.
    #[serde(default)]
    pub interrupts: IndexMap<String, String>,
    /// Slot name to the name of the task that it is bound to.
    #[serde(default, deserialize_with = "task_slots")]
    pub task_slots: IndexMap<String, String>,
    /// Memory outputs mapped into the task as a whole.
    #[serde(default)]
    pub extern_regions: Vec<String>,
    /// Memory output that holds the task's data and stack. Default: the application's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ram: Option<String>,
    /// Memory output to the largest size, in bytes, that the task may take of it.
    #[serde(default)]
    pub max_sizes: IndexMap<String, u32>,
    /// Name of an additional uninitialised section to the memory output that holds it.
    #[serde(default)]
    pub sections: IndexMap<String, String>,
    /// Configuration that the task itself defines.
    #[serde(default = "no_config", skip_serializing_if = "Option::is_none")]
    pub config: Option<T>,
    /// Keys of `config` whose values are globs of files to copy into the archive.
    #[serde(default)]
    pub copy_to_archive: Vec<String>,
    /// Binaries to build for the task to embed.
    #[serde(default)]
    pub bindeps: Vec<BinDep>,
}

/// A binary that is built before a task, which embeds it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BinDep {
    /// Name of the crate and of the binary in it.
    pub name: String,
    /// Compilation target.
    pub target: String,
    /// Cargo features of the crate.
    #[serde(default)]
    pub features: Vec<String>,
}

/// The default of `config`. A function, because `#[serde(default)]` would require `T: Default`.
fn no_config<T>() -> Option<T> {
    None
}

/// `task-slots` is a list whose entries are `"task"` (slot and task of the same name) or
/// `{ slot = "task" }`. In a build script's environment it is a map already.
fn task_slots<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<IndexMap<String, String>, D::Error> {
    struct Slots;

    impl<'de> Visitor<'de> for Slots {
        type Value = IndexMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of \"task\" and { slot = \"task\" }")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut slots = IndexMap::new();
            while let Some(Slot(named)) = list.next_element()? {
                for (slot, task) in named {
                    // Upstream's files name a slot twice now and then, for the same task.
                    if slots.get(&slot).is_some_and(|other| *other != task) {
                        return Err(de::Error::custom(format_args!(
                            "slot `{slot}` is named twice, for different tasks"
                        )));
                    }
                    slots.insert(slot, task);
                }
            }
            Ok(slots)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            IndexMap::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(Slots)
}

/// One entry of a `task-slots` list.
struct Slot(IndexMap<String, String>);

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = Slot;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"task\" or { slot = \"task\" }")
            }

            fn visit_str<E: de::Error>(self, task: &str) -> Result<Slot, E> {
                Ok(Slot(IndexMap::from([(task.to_string(), task.to_string())])))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Slot, A::Error> {
                IndexMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(Slot)
            }
        }

        deserializer.deserialize_any(Entry)
    }
}
