//! The lines for a project of the reader's own are enough: what the chapter's
//! first page says builds the five programs of that page, outside of this
//! workspace.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use running::depends::Depends;
use running::programs::{self, FIRST_PAGE};
use running::supervise::Supervised;
use running::verified::Verified;
use toml::{Table, Value};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervise");

const PAGE: &str = "src/chapter.md";

const EXPECTED: usize = 5;

/// What the reader's `cargo new` writes.
const MANIFEST: &str = "\
[package]
name = \"own\"
version = \"0.1.0\"
edition = \"2024\"

";

#[test]
fn the_lines_of_the_page_build_its_programs() -> Result<()> {
    let root = running::root();
    let names = names(root)?;
    let mut depends = Depends::default()
        .and_file(root, Path::new(PAGE))?
        .and_file(root, Path::new("Cargo.toml"))?
        .and_file(root, Path::new("Cargo.lock"))?;
    for name in &names {
        depends = depends
            .and_file(root, &source(name))?
            .and_file(root, &record(name))?;
    }
    Verified::beside(Path::new(SUPERVISOR))?.once(
        "a fresh project",
        &depends,
        || builds_and_runs(root, &names),
    )
}

fn builds_and_runs(root: &Path, names: &[String]) -> Result<()> {
    let (line, lines) = fence(root)?;
    let place = format!("{PAGE}:{line}");
    are_of_the_workspace(root, &lines).context(place.clone())?;
    let project = tempfile::tempdir().context("cannot make a folder")?;
    let folder = project.path();
    fs::create_dir_all(folder.join("src/bin"))?;
    fs::write(folder.join("Cargo.toml"), format!("{MANIFEST}{lines}"))?;
    // The versions that this book has been tested with, which are here.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    for name in names {
        let copy = folder.join("src/bin").join(format!("{name}.rs"));
        fs::copy(root.join(source(name)), copy)
            .with_context(|| format!("cannot copy {name}"))?;
    }
    let target = folder.join("target");
    build(folder, &target).with_context(|| {
        format!(
            "{place}: a new project with these lines does not build:\n{lines}"
        )
    })?;
    let mut wrong = Vec::new();
    for name in names {
        let executable = target.join("debug").join(name);
        let outcome = Supervised::new(SUPERVISOR, executable).run()?;
        let mut faults = outcome.faults_unless_exit(0);
        let recorded = fs::read_to_string(root.join(record(name)))?;
        // The first line is the command.
        let expected = recorded.split_once('\n').map_or("", |it| it.1);
        if programs::redacted(&outcome.output) != expected {
            faults
                .push(format!("does not print what is recorded:\n{expected}"));
        }
        if !faults.is_empty() {
            let (faults, output) = (faults.join("\n"), outcome.output);
            wrong.push(format!(
                "{place}: {name} in a new project with these lines {faults}\n\
                 it printed:\n{output}"
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The versions are those that the workspace asks for.
fn are_of_the_workspace(root: &Path, lines: &str) -> Result<()> {
    let own: Table = toml::from_str(lines).context("is no TOML")?;
    let own = own.get("dependencies").and_then(Value::as_table);
    let own = own.context("has no [dependencies]")?;
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let workspace: Table = toml::from_str(&workspace)?;
    let known = &workspace["workspace"]["dependencies"];
    for (name, dependency) in own {
        let here = version(dependency).context("no version")?;
        let there = known.get(name).and_then(version).unwrap_or("nowhere");
        ensure!(
            here == there,
            "{name} is version {here}, in the workspace's Cargo.toml {there}"
        );
    }
    Ok(())
}

fn version(dependency: &Value) -> Option<&str> {
    match dependency {
        Value::String(version) => Some(version),
        other => other.get("version")?.as_str(),
    }
}

/// As the reader's `cargo build`, but with what has been downloaded already.
fn build(folder: &Path, target: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--offline", "--quiet", "--color=never"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "cargo build --offline: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// The page's only `toml` fence: the line where it opens, and its text.
fn fence(root: &Path) -> Result<(usize, String)> {
    let page = fs::read_to_string(root.join(PAGE))
        .with_context(|| format!("cannot read {PAGE}"))?;
    let lines: Vec<&str> = page.lines().collect();
    let opens: Vec<usize> = (0..lines.len())
        .filter(|&index| lines[index] == "```toml")
        .collect();
    let [open] = opens[..] else {
        bail!("{PAGE} has {} toml fences, not one", opens.len());
    };
    let inside = lines[open + 1..].iter().take_while(|it| **it != "```");
    let text = inside.map(|line| format!("{line}\n")).collect();
    Ok((open + 1, text))
}

/// The programs of the page.
fn names(root: &Path) -> Result<Vec<String>> {
    let folder = Path::new("listings").join(FIRST_PAGE).join("src/bin");
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(&folder))
        .with_context(|| format!("cannot read {}", folder.display()))?
    {
        let file = PathBuf::from(entry?.file_name());
        let name = file.file_stem().context("a file without a name")?;
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    ensure!(
        names.len() == EXPECTED,
        "{} has {} programs, not {EXPECTED}: {names:?}",
        folder.display(),
        names.len()
    );
    Ok(names)
}

/// From the book's root.
fn source(name: &str) -> PathBuf {
    let folder = Path::new("listings").join(FIRST_PAGE).join("src/bin");
    folder.join(format!("{name}.rs"))
}

fn record(name: &str) -> PathBuf {
    programs::output(FIRST_PAGE, &format!("{name}.txt"))
}
