//! Compiling programs that are like those of the listings, but are not files of
//! a package: the changed copies of `crate::edits`, and the blocks of the pages.
//!
//! They are a workspace of their own that shares the target folder, so that no
//! crate is compiled twice. Linking takes longer than compiling, so a section's
//! programs are modules of one executable, which has one name more for each: it
//! runs the program by whose name it was started.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use toml::{Table, Value};

/// One program to compile.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whose crates it uses.
    pub section: String,
    /// A name for a module and an executable, unique in Cargo's folder.
    pub name: String,
    /// Its source.
    pub text: String,
    /// Whether it must have an executable of its own.
    pub is_alone: bool,
}

impl Source {
    fn is_alone(&self) -> bool {
        self.is_alone
            || self.text.contains("#[global_allocator]")
            || self.text.contains("#![")
    }

    /// The executable that it is part of.
    fn binary(&self, collection: Collection) -> String {
        match self.is_alone() {
            true => self.name.clone(),
            false => collection.binary(&self.section),
        }
    }
}

/// Programs that are compiled together.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// Also the name of the folder, beside Cargo's output.
    pub name: &'static str,
    /// `None`: that of the listings.
    pub edition: Option<&'static str>,
    /// Whether the programs know the lines of their source.
    pub lines: bool,
}

impl Collection {
    fn binary(self, section: &str) -> String {
        format!("{section}-{}", self.name)
    }
}

/// What the compiler made of each program: the executable, or its messages.
pub type Built = HashMap<String, Result<PathBuf, String>>;

/// The part of Cargo's messages that is used here.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: PathBuf,
}

/// Compiles the programs. `supervisor` is `env!("CARGO_BIN_EXE_supervise")`.
///
/// # Errors
/// If the programs cannot be written or Cargo cannot be run. A program that
/// does not compile is no error but in [`Built`].
pub fn build(
    root: &Path,
    supervisor: &Path,
    collection: Collection,
    sources: &[Source],
) -> Result<Built> {
    let mut built = Built::new();
    let start = Instant::now();
    let profile = supervisor.parent().context("Cargo's folder")?;
    let workspace = profile.join(collection.name);
    let mut left: Vec<Source> = sources.to_vec();
    // One that does not compile takes its whole section along, so the
    // others are compiled once more without it.
    while !left.is_empty() {
        write_workspace(root, &workspace, collection, &left)?;
        let (executables, errors) = run_cargo(profile, &workspace, collection)?;
        for (name, executable) in executables {
            for source in left.iter().filter(|it| it.binary(collection) == name)
            {
                let link = executable.with_file_name(&source.name);
                // One that stands alone has its name already.
                if link != executable {
                    // Of an earlier build.
                    let _ = fs::remove_file(&link);
                    fs::hard_link(&executable, &link).with_context(|| {
                        format!("cannot give {} a name", executable.display())
                    })?;
                }
                built.insert(source.name.clone(), Ok(link));
            }
        }
        left.retain(|source| !built.contains_key(&source.name));
        let before = left.len();
        for (name, messages) in errors {
            if left.iter().any(|source| source.name == name) {
                built.insert(name, Err(messages));
            }
        }
        left.retain(|source| !built.contains_key(&source.name));
        ensure!(
            left.is_empty() || left.len() < before,
            "cargo build did not compile {}",
            left[0].name
        );
    }
    if !sources.is_empty() {
        println!(
            "compiled {} programs in {:.1} s",
            sources.len(),
            start.elapsed().as_secs_f64()
        );
    }
    Ok(built)
}

/// Executables by name, and messages by the name of the program they are about.
type Compiled = (Vec<(String, PathBuf)>, Vec<(String, String)>);

/// Passes one more option to the compiler. Code stands in the file at the place
/// that it has in memory then, as strace expects that looks for callers.
const FOR_STRACE: &str =
    "#!/bin/sh\nexec \"$@\" -C link-arg=-Wl,-z,separate-code\n";

fn run_cargo(
    profile: &Path,
    workspace: &Path,
    collection: Collection,
) -> Result<Compiled> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    if collection.lines {
        let wrapper = workspace.join("for_strace");
        write_if_changed(&wrapper, FOR_STRACE)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        // The crates are not compiled by it, and so not compiled again.
        command.env("RUSTC_WORKSPACE_WRAPPER", wrapper);
    }
    let output = command
        // The crates are here: the listings themselves have been compiled.
        .args([
            "build",
            "--workspace",
            "--bins",
            "--keep-going",
            "--offline",
        ])
        .args(["--message-format=json", "--quiet"])
        .arg("--target-dir")
        .arg(profile.parent().context("Cargo's target folder")?)
        .current_dir(workspace)
        .stderr(Stdio::piped())
        .output()
        .context("cannot run cargo build")?;
    let mut executables = Vec::new();
    let mut errors = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cargo printed {line}"))?;
        if let (Some(target), Some(executable)) =
            (message.target, message.executable)
        {
            executables.push((target.name, executable));
        } else if let Some(what) = message.message
            && what.level == "error"
        {
            let text = what.rendered.unwrap_or_default();
            let file = what.spans.first().map(|span| &span.file_name);
            let name = file.and_then(|file| file.file_stem());
            let name = name.unwrap_or_default().to_string_lossy();
            errors.push((name.into_owned(), text));
        }
    }
    ensure!(
        output.status.success() || !errors.is_empty(),
        "cargo build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((executables, errors))
}

fn write_workspace(
    root: &Path,
    folder: &Path,
    collection: Collection,
    sources: &[Source],
) -> Result<()> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: Table = toml::from_str(&manifest)?;
    let mut workspace = manifest["workspace"].clone();
    let table = workspace.as_table_mut().context("[workspace]")?;
    table.remove("default-members");
    // A changed program may leave something unused.
    table.remove("lints");
    let sections: BTreeSet<&str> =
        sources.iter().map(|it| it.section.as_str()).collect();
    let members = sections.iter().map(|it| Value::from(*it)).collect();
    table.insert("members".to_owned(), Value::Array(members));
    let mut whole = Table::new();
    whole.insert("workspace".to_owned(), workspace);
    if let Some(profile) = manifest.get("profile") {
        let mut profile = profile.clone();
        if collection.lines {
            add_lines(&mut profile)?;
        }
        whole.insert("profile".to_owned(), profile);
    }
    fs::create_dir_all(folder)?;
    write_if_changed(&folder.join("Cargo.toml"), &whole.to_string())?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    fs::write(folder.join("Cargo.lock"), lock)?;
    for section in sections {
        let sources: Vec<&Source> =
            sources.iter().filter(|it| it.section == section).collect();
        write_package(root, folder, collection, section, &sources)?;
    }
    Ok(())
}

/// Line tables for the programs; the crates stay as they are.
fn add_lines(profile: &mut Value) -> Result<()> {
    let dev = profile.get_mut("dev").and_then(Value::as_table_mut);
    let dev = dev.context("[profile.dev]")?;
    let crates = dev.get_mut("package").and_then(|it| it.get_mut("*"));
    let crates = crates.and_then(Value::as_table_mut);
    crates
        .context("[profile.dev.package.\"*\"]")?
        .insert("debug".to_owned(), 0.into());
    dev.insert("debug".to_owned(), "line-tables-only".into());
    Ok(())
}

fn write_package(
    root: &Path,
    workspace: &Path,
    collection: Collection,
    section: &str,
    sources: &[&Source],
) -> Result<()> {
    let folder = workspace.join(section);
    let manifest = root.join("listings").join(section).join("Cargo.toml");
    let mut manifest: Table = toml::from_str(&fs::read_to_string(manifest)?)?;
    manifest.remove("lints");
    let package = manifest["package"].as_table_mut().context("[package]")?;
    package.insert("name".to_owned(), collection.binary(section).into());
    if let Some(edition) = collection.edition {
        package.insert("edition".to_owned(), edition.into());
    }
    package.remove("default-run");
    package.remove("metadata");
    // Examples may use more crates than programs.
    if let Some(Value::Table(more)) = manifest.remove("dev-dependencies") {
        let own = manifest
            .entry("dependencies")
            .or_insert_with(|| Table::new().into());
        own.as_table_mut().context("[dependencies]")?.extend(more);
    }
    fs::create_dir_all(&folder)?;
    let mut together = Vec::new();
    let mut tables = Vec::new();
    for source in sources {
        let file = format!("{}.rs", source.name);
        // Its `main` is called from outside.
        let text = source.text.replace("\nfn main(", "\npub fn main(");
        write_if_changed(&folder.join(&file), &text)?;
        match source.is_alone() {
            true => tables.push(bin(&source.name, &file)),
            false => together.push(source.name.clone()),
        }
    }
    if !together.is_empty() {
        write_if_changed(&folder.join("main.rs"), &main_of(&together))?;
        tables.push(bin(&collection.binary(section), "main.rs"));
    }
    manifest.insert("bin".to_owned(), Value::Array(tables));
    write_if_changed(&folder.join("Cargo.toml"), &manifest.to_string())
}

fn bin(name: &str, file: &str) -> Value {
    let mut table = Table::new();
    table.insert("name".to_owned(), name.into());
    table.insert("path".to_owned(), file.into());
    Value::Table(table)
}

/// Runs the program by whose name it was started, and which it goes by when
/// it starts itself again.
fn main_of(names: &[String]) -> String {
    let modules: String =
        names.iter().map(|name| format!("mod {name};\n")).collect();
    let arms: String = names
        .iter()
        .map(|name| format!("        \"{name}\" => {name}::main().report(),\n"))
        .collect();
    format!(
        "#![allow(warnings)]

{modules}
fn main() -> std::process::ExitCode {{
    use std::process::Termination;
    let program = std::env::current_exe().expect(\"this program's path\");
    let name = program.file_name().expect(\"a file\").to_string_lossy();
    match name.trim_end_matches(\" (deleted)\") {{
{arms}        other => panic!(\"{{other:?}} is the name of no program\"),
    }}
}}
"
    )
}

/// Cargo goes by the time: an unchanged file keeps it.
fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text)
        .with_context(|| format!("cannot write {}", path.display()))
}
