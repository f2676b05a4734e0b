//! Listings changed on purpose: what happens when the mechanism that a proof
//! is about is taken away, or when a program gets other work than it shows.
//!
//! Beside the listings of a section, `breaks/PROGRAM.NAME.toml` and
//! `trials/PROGRAM.NAME.toml` each describe one change and how the changed
//! program ends. A *break* must fail, and in the way described; a *trial*
//! must succeed.
//!
//! The changed copies are compiled as a workspace of their own that shares the
//! target folder, so that no crate is compiled twice. Linking takes longer
//! than compiling, so a section's copies are modules of one executable, which
//! has one name more for each: it runs the copy by whose name it was started.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use toml::{Table, Value};

use crate::programs::SECTIONS;
use crate::supervise::Outcome;

/// The changed copies, beside Cargo's output for the profile in use.
const FOLDER: &str = "edits";

/// What an edited program has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It must not succeed.
    Break,
    /// It must succeed, unless it says otherwise.
    Trial,
}

/// One change of one program.
#[derive(Clone, Debug)]
pub struct Edit {
    pub kind: Kind,
    pub section: String,
    /// The program that is changed: its binary's or example's name.
    pub program: String,
    /// Where the change is described, from the book's root.
    pub file: PathBuf,
    /// The program's source, from the book's root.
    pub source: PathBuf,
    /// The source with the change.
    pub text: String,
    pub ends: Ends,
}

/// How the changed program ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ends {
    /// Each is part of what it prints, or of what the supervisor finds.
    pub expect: Vec<String>,
    /// None is part of it.
    #[serde(default)]
    pub refuse: Vec<String>,
    /// Its exit code. A break without one ends with any but 0, or by a
    /// signal; a trial without one ends with 0.
    pub exit: Option<i32>,
    /// Whether it misses its deadline instead.
    #[serde(default)]
    pub hangs: bool,
    /// Whether it may leave processes and files behind.
    #[serde(default)]
    pub leaves: bool,
    /// Whether it must have an executable of its own, because it looks at
    /// what stands in its file or gives it another name.
    #[serde(default)]
    pub alone: bool,
    /// Its deadline.
    #[serde(default = "seconds")]
    pub seconds: u64,
}

fn seconds() -> u64 {
    20
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    replace: Vec<Replace>,
    ends: Ends,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replace {
    text: String,
    with: String,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())
    }
}

impl Edit {
    /// Unique in the book: the name of the changed copy's module, and of its
    /// executable.
    pub fn name(&self) -> String {
        let stem = self.file.file_stem().unwrap_or_default();
        format!("{}_edited", stem.display()).replace(['.', '-'], "_")
    }

    /// Whether it needs an executable of its own.
    fn is_alone(&self) -> bool {
        self.ends.alone || self.text.contains("#[global_allocator]")
    }

    /// The executable that it is part of.
    fn binary(&self) -> String {
        match self.is_alone() {
            true => self.name(),
            false => binary_of(&self.section),
        }
    }

    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.ends.seconds)
    }

    /// What is wrong with how the changed program ended.
    pub fn faults(&self, outcome: &Outcome) -> Vec<String> {
        let Ends {
            expect,
            refuse,
            exit,
            hangs,
            leaves,
            ..
        } = &self.ends;
        let mut faults = Vec::new();
        let overdue = |fault: &&String| fault.starts_with("did not end");
        match (hangs, outcome.faults.iter().find(overdue)) {
            (false, Some(fault)) => faults.push(fault.clone()),
            (true, None) => faults.push(format!(
                "ended with {} and was expected to hang",
                outcome.ending()
            )),
            _ => {}
        }
        let ended_well = match (exit, self.kind) {
            _ if *hangs => true,
            (Some(code), _) => outcome.code == Some(*code),
            (None, Kind::Break) => outcome.code != Some(0),
            (None, Kind::Trial) => outcome.code == Some(0),
        };
        if !ended_well {
            faults.push(format!("ended with {}", outcome.ending()));
        }
        if !leaves {
            let left = outcome.faults.iter().filter(|it| !overdue(it));
            faults.extend(left.cloned());
        }
        let all = format!("{}\n{}", outcome.output, outcome.faults.join("\n"));
        for text in expect.iter().filter(|text| !all.contains(*text)) {
            faults.push(format!("does not say {text:?}"));
        }
        for text in refuse.iter().filter(|text| all.contains(*text)) {
            faults.push(format!("says {text:?}"));
        }
        faults
    }
}

/// Every edit of the book.
///
/// # Errors
/// If a file is not valid, names no program, or does not fit the program's
/// text (each text that it replaces occurs exactly once).
pub fn all(root: &Path) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for section in SECTIONS {
        for (kind, folder) in [(Kind::Break, "breaks"), (Kind::Trial, "trials")]
        {
            let folder = Path::new("listings").join(section).join(folder);
            let entries = fs::read_dir(root.join(&folder)).into_iter();
            for entry in entries.flatten() {
                let file = folder.join(entry?.file_name());
                let edit = edit(root, kind, section, &file);
                let edit =
                    edit.with_context(|| format!("{}", file.display()))?;
                edits.push(edit);
            }
        }
    }
    edits.sort_by_key(|edit| edit.file.clone());
    Ok(edits)
}

fn edit(root: &Path, kind: Kind, section: &str, file: &Path) -> Result<Edit> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let parts: Vec<&str> = name.split('.').collect();
    let [program, _, "toml"] = parts.as_slice() else {
        bail!("is not named PROGRAM.NAME.toml");
    };
    let text = fs::read_to_string(root.join(file))?;
    let File { replace, ends } = toml::from_str(&text)?;
    ensure!(
        !ends.expect.is_empty(),
        "expects no text: what does it show?"
    );
    let package = Path::new("listings").join(section);
    let places = [
        package.join(format!("src/bin/{program}.rs")),
        package.join(format!("examples/{program}.rs")),
    ];
    let source = match *program == section {
        true => package.join("src/main.rs"),
        false => places
            .into_iter()
            .find(|place| root.join(place).is_file())
            .with_context(|| format!("{section} has no program {program}"))?,
    };
    let original = fs::read_to_string(root.join(&source))?;
    let mut text = original.clone();
    for Replace { text: old, with } in &replace {
        let count = text.matches(old.as_str()).count();
        ensure!(
            count == 1,
            "this occurs {count} times in {}, not once:\n{old}",
            source.display()
        );
        text = text.replacen(old.as_str(), with, 1);
    }
    ensure!(text != original, "changes nothing");
    Ok(Edit {
        kind,
        section: section.to_owned(),
        program: (*program).to_owned(),
        file: file.to_owned(),
        source,
        text,
        ends,
    })
}

/// What the compiler made of each edit: the executable, or its messages.
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

/// Compiles the edits. `supervisor` is `env!("CARGO_BIN_EXE_supervise")`.
///
/// # Errors
/// If the copies cannot be written or Cargo cannot be run. An edit that does
/// not compile is no error but in [`Built`].
pub fn build(root: &Path, supervisor: &Path, edits: &[Edit]) -> Result<Built> {
    let mut built = Built::new();
    let profile = supervisor.parent().context("Cargo's folder")?;
    let workspace = profile.join(FOLDER);
    let mut left: Vec<Edit> = edits.to_vec();
    // An edit that does not compile takes its whole section along, so the
    // others are compiled once more without it.
    while !left.is_empty() {
        write_workspace(root, &workspace, &left)?;
        let (executables, errors) = run_cargo(profile, &workspace)?;
        for (name, executable) in executables {
            for edit in left.iter().filter(|it| it.binary() == name) {
                let link = executable.with_file_name(edit.name());
                // One that stands alone has its name already.
                if link != executable {
                    // Of an earlier build.
                    let _ = fs::remove_file(&link);
                    fs::hard_link(&executable, &link).with_context(|| {
                        format!("cannot give {} a name", executable.display())
                    })?;
                }
                built.insert(edit.name(), Ok(link));
            }
        }
        left.retain(|edit| !built.contains_key(&edit.name()));
        let before = left.len();
        for (name, messages) in errors {
            if left.iter().any(|edit| edit.name() == name) {
                built.insert(name, Err(messages));
            }
        }
        left.retain(|edit| !built.contains_key(&edit.name()));
        ensure!(
            left.is_empty() || left.len() < before,
            "cargo build did not compile {}",
            left[0]
        );
    }
    Ok(built)
}

/// Executables by name, and messages by the name of the edit they are about.
type Compiled = (Vec<(String, PathBuf)>, Vec<(String, String)>);

fn run_cargo(profile: &Path, workspace: &Path) -> Result<Compiled> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
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

fn write_workspace(root: &Path, folder: &Path, edits: &[Edit]) -> Result<()> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest: Table = toml::from_str(&manifest)?;
    let mut workspace = manifest["workspace"].clone();
    let table = workspace.as_table_mut().context("[workspace]")?;
    table.remove("default-members");
    // A break may leave something unused.
    table.remove("lints");
    let members = SECTIONS
        .iter()
        .filter(|section| edits.iter().any(|edit| edit.section == **section))
        .map(|section| Value::from(*section))
        .collect();
    table.insert("members".to_owned(), Value::Array(members));
    let mut whole = Table::new();
    whole.insert("workspace".to_owned(), workspace);
    if let Some(profile) = manifest.get("profile") {
        whole.insert("profile".to_owned(), profile.clone());
    }
    fs::create_dir_all(folder)?;
    write_if_changed(&folder.join("Cargo.toml"), &whole.to_string())?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    fs::write(folder.join("Cargo.lock"), lock)?;
    for section in SECTIONS {
        let edits: Vec<&Edit> = edits
            .iter()
            .filter(|edit| edit.section == section)
            .collect();
        if !edits.is_empty() {
            write_package(root, &folder.join(section), section, &edits)?;
        }
    }
    Ok(())
}

fn write_package(
    root: &Path,
    folder: &Path,
    section: &str,
    edits: &[&Edit],
) -> Result<()> {
    let manifest = root.join("listings").join(section).join("Cargo.toml");
    let mut manifest: Table = toml::from_str(&fs::read_to_string(manifest)?)?;
    manifest.remove("lints");
    let package = manifest["package"].as_table_mut().context("[package]")?;
    package.insert("name".to_owned(), format!("{section}-edits").into());
    package.remove("default-run");
    package.remove("metadata");
    // Examples may use more crates than programs.
    if let Some(Value::Table(more)) = manifest.remove("dev-dependencies") {
        let own = manifest
            .entry("dependencies")
            .or_insert_with(|| Table::new().into());
        own.as_table_mut().context("[dependencies]")?.extend(more);
    }
    fs::create_dir_all(folder)?;
    let mut together = Vec::new();
    let mut tables = Vec::new();
    for edit in edits {
        let file = format!("{}.rs", edit.name());
        // Its `main` is called from outside.
        let text = edit.text.replace("\nfn main(", "\npub fn main(");
        write_if_changed(&folder.join(&file), &text)?;
        match edit.is_alone() {
            true => tables.push(bin(&edit.name(), &file)),
            false => together.push(edit.name()),
        }
    }
    if !together.is_empty() {
        write_if_changed(&folder.join("main.rs"), &main_of(&together))?;
        tables.push(bin(&binary_of(section), "main.rs"));
    }
    manifest.insert("bin".to_owned(), Value::Array(tables));
    write_if_changed(&folder.join("Cargo.toml"), &manifest.to_string())
}

fn binary_of(section: &str) -> String {
    format!("{section}-edits")
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
{arms}        other => panic!(\"{{other:?}} is the name of no edit\"),
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
