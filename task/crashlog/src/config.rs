//! `[tasks.crashlog.config]` of `app.toml`, checked by the build script.

include!(concat!(env!("OUT_DIR"), "/config.rs"));
