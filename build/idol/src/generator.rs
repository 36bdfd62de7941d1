//! Settings of generated code, and reading and writing of files

use crate::client;
use crate::counting::CounterSettings;
use crate::error::{BoxedError, Problem};
use crate::server::{self, ServerStyle};
use crate::syntax::{Interface, check_client};
use proc_macro2::TokenStream;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether a `FailServer` is generated.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum ErrorServer {
    /// If all operations share one error type.
    #[default]
    Maybe,
    /// Yes; it is an error if they do not.
    Always,
    /// No.
    Never,
}

/// Generates code, with settings.
#[derive(Clone, Debug)]
pub struct Generator {
    counters: CounterSettings,
    error_server: ErrorServer,
    format: bool,
    op_enum_derives: Vec<syn::Path>,
}

impl Default for Generator {
    fn default() -> Self {
        Self {
            counters: CounterSettings::OFF,
            error_server: ErrorServer::default(),
            format: true,
            op_enum_derives: Vec::new(),
        }
    }
}

impl Generator {
    /// A generator of code that counts nothing, is formatted, and has a `FailServer` where that is
    /// possible.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether generated code counts operations and their results. With `None` it does not, so
    /// that a build script can make it depend on a feature of its crate.
    #[must_use]
    pub fn with_counters(self, counters: impl Into<Option<CounterSettings>>) -> Self {
        Self {
            counters: counters.into().unwrap_or(CounterSettings::OFF),
            ..self
        }
    }

    /// Sets whether generated code is formatted.
    #[must_use]
    pub fn with_fmt(self, format: bool) -> Self {
        Self { format, ..self }
    }

    /// Generates a `FailServer`; it is an error if the operations do not share one error type.
    #[must_use]
    pub fn with_error_server(self) -> Self {
        Self {
            error_server: ErrorServer::Always,
            ..self
        }
    }

    /// Generates no `FailServer`.
    #[must_use]
    pub fn without_error_server(self) -> Self {
        Self {
            error_server: ErrorServer::Never,
            ..self
        }
    }

    /// Adds derives to the enum of operations.
    ///
    /// # Errors
    ///
    /// If one of them is not a path.
    pub fn with_op_enum_derives<T: AsRef<str>>(
        mut self,
        derives: impl IntoIterator<Item = T>,
    ) -> Result<Self, syn::Error> {
        for derive in derives {
            self.op_enum_derives.push(syn::parse_str(derive.as_ref())?);
        }
        Ok(self)
    }

    pub(crate) fn counters(&self) -> CounterSettings {
        self.counters
    }

    pub(crate) fn error_server(&self) -> ErrorServer {
        self.error_server
    }

    pub(crate) fn op_enum_derives(&self) -> &[syn::Path] {
        &self.op_enum_derives
    }

    /// Writes the client of the interface in the file `src` to `out` in `OUT_DIR`, and has Cargo
    /// run the build script again when the file changes.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is wrong, or the result cannot be written.
    pub fn build_client_stub(&self, src: impl AsRef<Path>, out: &str) -> Result<(), BoxedError> {
        let code = self.generate_client_stub_from_file(src.as_ref())?;
        write_output(src.as_ref(), out, &code)
    }

    /// The client of the interface in the file `src`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is wrong.
    pub fn generate_client_stub_from_file(
        &self,
        src: impl AsRef<Path>,
    ) -> Result<String, BoxedError> {
        let src = src.as_ref();
        Ok(self
            .client(&read(src)?)
            .map_err(|problem| problem.in_file(src))?)
    }

    /// The client of the interface that is described in `contents`.
    ///
    /// # Errors
    ///
    /// If the description is wrong.
    pub fn generate_client_stub(&self, contents: &str) -> Result<String, BoxedError> {
        Ok(self.client(contents)?)
    }

    /// Writes the server's side of the interface in the file `src` to `out` in `OUT_DIR`, and has
    /// Cargo run the build script again when the file changes. Every task may call every operation.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is wrong, or the result cannot be written.
    pub fn build_server_support(
        &self,
        src: impl AsRef<Path>,
        out: &str,
        style: ServerStyle,
    ) -> Result<(), BoxedError> {
        self.build_restricted_server_support(src, out, style, &BTreeMap::new())
    }

    /// As [`Self::build_server_support`], but operations in `allowed_callers` may only be called by
    /// the tasks with these indices.
    ///
    /// # Errors
    ///
    /// As above, and if `allowed_callers` names an operation that does not exist.
    pub fn build_restricted_server_support(
        &self,
        src: impl AsRef<Path>,
        out: &str,
        style: ServerStyle,
        allowed_callers: &BTreeMap<String, Vec<usize>>,
    ) -> Result<(), BoxedError> {
        let src = src.as_ref();
        let code = self
            .server(&read(src)?, style, allowed_callers)
            .map_err(|problem| problem.in_file(src))?;
        write_output(src, out, &code)
    }

    /// The server's side of the interface that is described in `contents`.
    ///
    /// # Errors
    ///
    /// If the description is wrong, or `allowed_callers` names an operation that does not exist.
    pub fn generate_restricted_server_support(
        &self,
        contents: &str,
        style: ServerStyle,
        allowed_callers: &BTreeMap<String, Vec<usize>>,
    ) -> Result<String, BoxedError> {
        Ok(self.server(contents, style, allowed_callers)?)
    }

    fn client(&self, contents: &str) -> Result<String, Problem> {
        let iface: Interface = contents.parse()?;
        check_client(&iface)?;
        self.print(client::generate(&iface, self))
    }

    fn server(
        &self,
        contents: &str,
        style: ServerStyle,
        allowed_callers: &BTreeMap<String, Vec<usize>>,
    ) -> Result<String, Problem> {
        let iface: Interface = contents.parse()?;
        self.print(server::generate(
            &iface,
            contents,
            style,
            allowed_callers,
            self,
        )?)
    }

    fn print(&self, code: TokenStream) -> Result<String, Problem> {
        if !self.format {
            return Ok(code.to_string());
        }
        // Types are taken from the file unchanged, so the generated code around them may be no
        // valid Rust.
        let file = syn::parse2(code).map_err(|error| {
            Problem::new(format!("a type cannot be used in generated code: {error}"))
        })?;
        Ok(prettyplease::unparse(&file))
    }
}

fn read(src: &Path) -> Result<String, Problem> {
    fs::read_to_string(src)
        .map_err(|error| Problem::new(format!("cannot be read: {error}")).in_file(src))
}

/// Writes generated code to `OUT_DIR`.
fn write_output(src: &Path, out: &str, code: &str) -> Result<(), BoxedError> {
    println!("cargo:rerun-if-changed={}", src.display());
    let directory =
        env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: this is for build scripts")?;
    let path = PathBuf::from(directory).join(out);
    fs::write(&path, code).map_err(|error| format!("{}: {error}", path.display()).into())
}
