//! The programs of the listings: which there are, where their executables
//! are, and what is on record about them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde::Deserialize;

/// The twelve sections in reading order. The name is the same in `src`,
/// `listings`, the package, the Python twin and the output.
pub const SECTIONS: [&str; 12] = [
    "multiprocessing_overview",
    "spawning_processes",
    "naming_process",
    "killing_process",
    "process_with_subclass",
    "run_bg_process",
    "run_bg_process_no_daemon",
    "run_bg_process_daemon",
    "communicating_with_pipes",
    "communicating_with_queues",
    "barrier_example",
    "process_pool",
];

/// The package of the chapter's first page.
pub const FIRST_PAGE: &str = "five_ideas";

/// The packages of listings: that of the chapter's first page, and those of the
/// sections.
pub const PACKAGES: [&str; SECTIONS.len() + 1] = {
    let mut packages = [FIRST_PAGE; SECTIONS.len() + 1];
    let (_, sections) = packages.split_at_mut(1);
    sections.copy_from_slice(&SECTIONS);
    packages
};

/// The programs that a reader takes into a project of his own: each section's
/// main program, and these. No rule has an exception for them; what else the
/// book shows is a step towards them or the proof of a claim.
const COPIED: [&str; 15] = [
    "forkserver",
    "graceful_shutdown",
    "typed_results",
    "join_on_drop",
    "detached_service",
    "three_ways",
    "framed_messages",
    "typed_lines",
    "resent_frames",
    "broker_with_credits",
    "cyclic_barrier",
    "futex_barrier",
    "windowed_pool",
    "task_deadline",
    "close_join_terminate",
];

/// How long a process may outlive a program whose subject that is.
pub const GRACE: Duration = Duration::from_secs(5);

/// What part a program plays in its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `src/main.rs` or `src/bin/*.rs`: it succeeds, and its output is on
    /// record.
    Listing,
    /// `examples/*_starter.rs`: it compiles and fails its own check.
    Starter,
    /// `examples/*_solution.rs`: it passes the same check.
    Solution,
}

/// One executable of a listing package.
#[derive(Clone, Debug)]
pub struct Program {
    pub section: String,
    pub name: String,
    pub kind: Kind,
    pub executable: PathBuf,
    /// From the book's root.
    pub source: PathBuf,
}

impl Program {
    /// The command with which a reader runs the program.
    pub fn command(&self) -> String {
        let Program { section, name, .. } = self;
        match self.kind {
            Kind::Listing if section == name => format!("cargo run -p {name}"),
            Kind::Listing => format!("cargo run -p {section} --bin {name}"),
            Kind::Starter | Kind::Solution => {
                format!("cargo run -p {section} --example {name}")
            }
        }
    }

    /// Whether a reader is meant to copy it, so that it has to survive.
    pub fn is_copied(&self) -> bool {
        self.kind == Kind::Listing
            && (self.name == self.section
                || COPIED.contains(&self.name.as_str()))
    }

    /// Where its output is on record, from the book's root.
    pub fn output(&self) -> PathBuf {
        output(&self.section, &format!("{}.txt", self.name))
    }
}

/// A file in a section's `output` folder, from the book's root.
pub fn output(section: &str, file: &str) -> PathBuf {
    Path::new("listings")
        .join(section)
        .join("output")
        .join(file)
}

/// A section's manifest, from the book's root.
pub fn manifest(section: &str) -> PathBuf {
    Path::new("listings").join(section).join("Cargo.toml")
}

/// A section's Python twin, from the book's root.
pub fn twin(section: &str) -> PathBuf {
    Path::new("listings")
        .join(section)
        .join(format!("{section}.py"))
}

/// The part of Cargo's `--message-format=json` that is used here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

/// Compiles every program of every listing package.
///
/// # Errors
/// If one does not compile, with the compiler's messages, or if an example
/// is neither a starter nor a solution.
pub fn build(root: &Path) -> Result<Vec<Program>> {
    let mut arguments = vec![String::from("build")];
    arguments.extend(["--bins".into(), "--examples".into()]);
    for package in packages(root)? {
        arguments.extend(["--package".into(), package]);
    }
    let start = Instant::now();
    let mut programs = compiled(root, &arguments)
        .context("the listings do not compile")?
        .into_iter()
        .map(|(target, executable)| program(root, target, executable))
        .collect::<Result<Vec<_>>>()?;
    // Otherwise nothing had to be compiled.
    if start.elapsed() > Duration::from_secs(1) {
        let took = start.elapsed().as_secs_f64();
        println!("compiled the listings in {took:.1} s");
    }
    programs.sort_by_key(|program| program.source.clone());
    Ok(programs)
}

/// The packages of the listings: the folders in `listings`.
fn packages(root: &Path) -> Result<Vec<String>> {
    let folders = fs::read_dir(root.join("listings"))
        .context("cannot read the folder listings")?;
    let mut packages = Vec::new();
    for folder in folders {
        let folder = folder?;
        if folder.path().join("Cargo.toml").is_file() {
            packages.push(folder.file_name().to_string_lossy().into_owned());
        }
    }
    packages.sort();
    Ok(packages)
}

/// Runs Cargo; returns each executable with what it was made of.
pub(crate) fn compiled(
    root: &Path,
    arguments: &[String],
) -> Result<Vec<(Target, PathBuf)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--quiet", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo {} failed",
        arguments.join(" ")
    );
    let mut compiled = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cargo printed {line}"))?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        if let (Some(target), Some(executable)) =
            (message.target, message.executable)
        {
            compiled.push((target, executable));
        }
    }
    Ok(compiled)
}

fn program(
    root: &Path,
    target: Target,
    executable: PathBuf,
) -> Result<Program> {
    let source = target.src_path.strip_prefix(root)?.to_owned();
    let section = source.components().nth(1).context("not a listing")?;
    let section = section.as_os_str().to_string_lossy().into_owned();
    let kind = if target.kind.iter().any(|kind| kind == "bin") {
        Kind::Listing
    } else if target.name.ends_with("_starter") {
        Kind::Starter
    } else {
        ensure!(
            target.name.ends_with("_solution"),
            "{}: an example's name ends in _starter or _solution",
            source.display()
        );
        Kind::Solution
    };
    Ok(Program {
        section,
        name: target.name,
        kind,
        executable,
        source,
    })
}

/// What a listing package declares in its `Cargo.toml` for the harness.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Declared {
    /// Program name to a pattern: consecutive lines of its output that match
    /// it may come in any order.
    pub free_order: BTreeMap<String, String>,
    pub twin: Twin,
    /// Program name to condition (see `tests/hostile.rs`) to the reason why
    /// the program cannot do right under it.
    pub hostile: BTreeMap<String, BTreeMap<String, String>>,
    /// Program name to the reason why a process outlives it. One has to, and it
    /// ends within [`GRACE`].
    pub outlived: BTreeMap<String, String>,
    /// A proof's program name to the recipe whose code it runs. The named
    /// items stand in both files, letter by letter the same.
    pub same_code: BTreeMap<String, SameCode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameCode {
    /// The recipe's program name.
    pub of: String,
    /// How each item begins: `fn ask`, `impl Pool`.
    pub items: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Twin {
    /// Why the Python twin prints other lines than the Rust program. Then its
    /// own output is on record.
    pub differs: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    metadata: Declared,
}

impl Declared {
    /// What the processes of a program may take to end after it.
    pub fn grace(&self, name: &str) -> Duration {
        match self.outlived.contains_key(name) {
            true => GRACE,
            false => Duration::ZERO,
        }
    }
}

/// What each of the packages declares.
///
/// # Errors
/// Those of [`declared`].
pub fn all_declared(root: &Path) -> Result<BTreeMap<&'static str, Declared>> {
    let of = |package| Ok((package, declared(root, package)?));
    PACKAGES.into_iter().map(of).collect()
}

/// Reads `[package.metadata]` of a section's `Cargo.toml`.
///
/// # Errors
/// If the file is missing or declares something that is not known.
pub fn declared(root: &Path, section: &str) -> Result<Declared> {
    let file = manifest(section);
    let text = fs::read_to_string(root.join(&file))
        .with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: Manifest = toml::from_str(&text)
        .with_context(|| format!("{} is not valid", file.display()))?;
    Ok(manifest.package.metadata)
}

/// The line with which a proof says that this machine refuses what it needs (a
/// namespace, say), in place of what is on record. Where `CI=true` it fails.
pub fn not_shown(output: &str) -> Option<&str> {
    output.lines().find(|line| line.starts_with("not shown, "))
}

/// Replaces what differs from run to run: process and thread numbers.
pub fn redacted(output: &str) -> String {
    // To compile a pattern takes longer than to run most programs.
    static RULES: LazyLock<[(Regex, &str); 2]> = LazyLock::new(|| {
        [
            (r"\b(pid|PID) \d+", "$1 [PID]"),
            (r"\((\d+)\) panicked at", "([TID]) panicked at"),
        ]
        .map(|(pattern, replacement)| {
            let rule = Regex::new(pattern).expect("the rules are constants");
            (rule, replacement)
        })
    });
    let mut text = output.to_owned();
    for (rule, replacement) in &*RULES {
        text = rule.replace_all(&text, *replacement).into_owned();
    }
    text
}

/// Sorts each run of consecutive lines that match `pattern`, so that two
/// outputs that differ only in a free order become equal.
///
/// # Errors
/// If the pattern is not a regular expression.
pub fn in_one_order(output: &str, pattern: Option<&str>) -> Result<String> {
    let Some(pattern) = pattern else {
        return Ok(output.to_owned());
    };
    let free = Regex::new(pattern)?;
    let mut lines: Vec<&str> = output.lines().collect();
    for run in lines.chunk_by_mut(|a, b| free.is_match(a) && free.is_match(b)) {
        if run.len() > 1 {
            run.sort_unstable();
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}
