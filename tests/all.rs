//! Runs all test files, says what it is doing and how much is left, and ends
//! with one list of what has failed.
//!
//! This is what plain `cargo test` starts. What follows `--` goes to each file:
//! `cargo test -- naming` runs the tests with `naming` in their names.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// This file, which does not run itself.
const SELF: &str = "all";

/// What answers soonest comes first; what is not named here comes last.
const ORDER: [&str; 19] = [
    "lib",
    "book",
    "faults",
    "timelines",
    "listings",
    "claims",
    "blocks",
    "recipes",
    "twins",
    "commands",
    "breaks",
    "hostile",
    "shared_memory",
    "ring_under_loom",
    "kills_pipes",
    "kills_queues",
    "kills_barrier",
    "kills_pool",
    "browser",
];

/// How often a word is said where there is no terminal to draw on.
const QUIET: Duration = Duration::from_secs(30);

/// A compiled test file.
struct File {
    /// As in `cargo test --test NAME`, or `lib`.
    name: String,
    /// How Cargo runs it alone.
    command: String,
    /// Where its package is: its current folder, as under Cargo.
    folder: PathBuf,
    executable: PathBuf,
}

/// How a test file ended.
#[derive(Default)]
struct Ran {
    passed: usize,
    /// The names of the tests that failed.
    failed: Vec<String>,
    success: bool,
    /// What it printed beside the results.
    remarks: Vec<String>,
    output: Vec<String>,
    took: Duration,
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let start = Instant::now();
    let files = compile()?;
    println!("compiled in {:.1} s", start.elapsed().as_secs_f64());
    let mut failures = Vec::new();
    let mut passed = 0;
    for (index, file) in files.iter().enumerate() {
        let place = format!("{}/{}", index + 1, files.len());
        let ran = run(file, &arguments, &place)?;
        passed += ran.passed;
        report(file, &place, &ran)?;
        failures.extend(failures_of(file, &ran));
    }
    let took = start.elapsed().as_secs_f64();
    if failures.is_empty() {
        println!("all {passed} tests passed in {took:.1} s");
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\n{passed} tests passed and {} failed in {took:.1} s. \
         What they say stands above; repeat each with:",
        failures.len()
    );
    for command in failures {
        println!("  {command}");
    }
    Ok(ExitCode::FAILURE)
}

/// The part of Cargo's messages that is used here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Option<Target>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Compiles all test files, those of the benchmarks on their own: what they
/// need must not change how the crates of the others are compiled.
fn compile() -> Result<Vec<File>> {
    let mut files = compile_package(&[])?;
    files.extend(compile_package(&["--package", "benches"])?);
    files.sort_by_key(|file| {
        let place = ORDER.iter().position(|name| *name == file.name);
        (place.unwrap_or(ORDER.len()), file.command.clone())
    });
    Ok(files)
}

fn compile_package(package: &[&str]) -> Result<Vec<File>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["test", "--no-run", "--quiet", "--test", "*"])
        .arg("--message-format=json-render-diagnostics")
        .args(package)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit());
    if package.is_empty() {
        cargo.arg("--lib");
    }
    let output = cargo.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the tests do not compile");
    let messages = String::from_utf8(output.stdout)?;
    let messages: Vec<Message> = messages
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("cargo printed {line}"))
        })
        .collect::<Result<_>>()?;
    Ok(messages.into_iter().filter_map(file).collect())
}

/// The test file that a message of Cargo's tells about, if it does.
fn file(message: Message) -> Option<File> {
    let is_test = message.reason == "compiler-artifact"
        && message.profile.is_some_and(|profile| profile.test);
    let (target, executable) = (message.target?, message.executable?);
    if !is_test || target.name == SELF {
        return None;
    }
    let folder = message.manifest_path.parent()?.to_owned();
    let (name, command) = match target.kind.iter().any(|it| it == "test") {
        true => {
            let which = format!("--test {}", target.name);
            let command = match folder.ends_with("benches") {
                true => format!("cargo test -p benches {which}"),
                false => format!("cargo test {which}"),
            };
            (target.name, command)
        }
        false => {
            let package = package(&folder)?;
            ("lib".into(), format!("cargo test -p {package} --lib"))
        }
    };
    Some(File {
        name,
        command,
        folder,
        executable,
    })
}

/// A package's name: that of its folder, but for the root.
fn package(folder: &std::path::Path) -> Option<String> {
    if folder == std::path::Path::new(env!("CARGO_MANIFEST_DIR")) {
        return Some(env!("CARGO_PKG_NAME").to_owned());
    }
    Some(folder.file_name()?.to_string_lossy().into_owned())
}

fn run(file: &File, arguments: &[OsString], place: &str) -> Result<Ran> {
    let start = Instant::now();
    let (reader, writer) = io::pipe().context("cannot open a pipe")?;
    let mut command = Command::new(&file.executable);
    command
        .args(arguments)
        .current_dir(&file.folder)
        .env("CARGO", env!("CARGO"))
        .env("CARGO_MANIFEST_DIR", &file.folder)
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {:?}", file.executable))?;
    // The command holds the pipe's writing ends.
    drop(command);
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(reader)
            .split(b'\n')
            .map_while(|line| line.ok())
            .try_for_each(|line| {
                sender.send(String::from_utf8_lossy(&line).into_owned())
            })
    });
    let mut ran = Ran::default();
    let (mut total, mut ended) = (0, 0);
    loop {
        let line = match lines.recv_timeout(QUIET) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                if !io::stdout().is_terminal() {
                    let so_far = start.elapsed().as_secs();
                    println!(
                        "{place} {}: {ended} of {total} after {so_far} s",
                        file.name
                    );
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match Line::of(&line) {
            Line::Running(count) => total = count,
            Line::Test => ended += 1,
            Line::Nothing => {}
            Line::Remark => ran.remarks.push(line.clone()),
        }
        draw(&format!("{place} {}: {ended} of {total}", file.name))?;
        ran.output.push(line);
    }
    ran.success = child.wait()?.success();
    ran.took = start.elapsed();
    ran.failed = failed(&ran.output);
    ran.passed = ran.output.iter().filter_map(|line| passed(line)).sum();
    draw("")?;
    Ok(ran)
}

/// What a line of a test file's output is.
enum Line {
    Running(usize),
    /// How one test ended.
    Test,
    Nothing,
    Remark,
}

impl Line {
    fn of(line: &str) -> Line {
        let count = line.strip_prefix("running ").and_then(|rest| {
            let (count, rest) = rest.split_once(' ')?;
            rest.starts_with("test").then(|| count.parse().ok())?
        });
        if let Some(count) = count {
            return Line::Running(count);
        }
        let ends = [" ok", " FAILED", " ignored"];
        if line.starts_with("test ") && ends.iter().any(|it| line.ends_with(it))
        {
            return Line::Test;
        }
        match line.trim().is_empty() || line.starts_with("test result: ok") {
            true => Line::Nothing,
            false => Line::Remark,
        }
    }
}

/// The number of tests that passed, of `test result: ok. 12 passed; …`.
fn passed(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    rest.split_once(" passed")?.0.parse().ok()
}

/// The names of the last list that `failures:` begins.
fn failed(output: &[String]) -> Vec<String> {
    let start = output.iter().rposition(|line| line == "failures:");
    let Some(start) = start else {
        return Vec::new();
    };
    output[start + 1..]
        .iter()
        .map_while(|line| line.strip_prefix("    "))
        .map(str::to_owned)
        .collect()
}

/// One line that replaces the one before it, on a terminal.
fn draw(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    if output.is_terminal() {
        write!(output, "\r\x1b[K{text}")?;
        output.flush()?;
    }
    Ok(())
}

fn report(file: &File, place: &str, ran: &Ran) -> Result<()> {
    let mut output = io::stdout().lock();
    let lines = match ran.success {
        true => &ran.remarks,
        false => &ran.output,
    };
    let verdict = match (ran.success, ran.failed.len()) {
        (true, _) => String::new(),
        (false, 0) => ", FAILED".to_owned(),
        (false, failed) => format!(", {failed} FAILED"),
    };
    writeln!(
        output,
        "{place:>5} {:<16} {:>5} passed{verdict} {:>7.1} s",
        file.name,
        ran.passed,
        ran.took.as_secs_f64()
    )?;
    for line in lines {
        writeln!(output, "      {line}")?;
    }
    Ok(())
}

/// A command for each failure.
fn failures_of(file: &File, ran: &Ran) -> Vec<String> {
    let command = &file.command;
    if ran.success {
        return Vec::new();
    }
    if ran.failed.is_empty() {
        return vec![command.clone()];
    }
    ran.failed
        .iter()
        .map(|name| {
            let name = name.replace('\'', r"'\''");
            format!("{command} -- --exact '{name}'")
        })
        .collect()
}
