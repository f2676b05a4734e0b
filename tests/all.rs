//! Runs all test files, says what it is doing and how much is left, and ends
//! with one list of what has failed.
//!
//! This is what plain `cargo test` starts. What follows `--` goes to each file:
//! `cargo test -- naming` runs the tests with `naming` in their names.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use running::chromium;
use running::depends::Depends;
use running::needs;
use running::verified::Verified;
use serde::Deserialize;

/// This file, which does not run itself.
const SELF: &str = "all";

/// Alone: it plants what the others must not see.
const FIRST: [&str; 1] = ["faults"];

/// What depends on nothing but its own executable and the supervisor. Where
/// `CI=true` these try again what chance decides.
const SELF_CONTAINED: [&str; 3] =
    ["faults", "shared_memory", "ring_under_loom"];

/// What takes longest starts first, beside what answers soon. What is not
/// named comes after these.
const ORDER: [&str; 8] = [
    "listings", "breaks", "browser", "commands", "book", "kills", "blocks",
    "hostile",
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
    let mut board = Board::new(&files);
    let (first, others): (Vec<usize>, Vec<usize>) = (0..files.len())
        .partition(|&index| FIRST.contains(&files[index].name.as_str()));
    for index in first {
        board.run(vec![index], 1, &arguments)?;
    }
    board.run(others, needs::cores() + 1, &arguments)?;
    let Board {
        failures, passed, ..
    } = board;
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

/// What is running, and what has come of the rest.
struct Board<'a> {
    files: &'a [File],
    /// By place in `files`: the tests that have ended, and all.
    running: BTreeMap<usize, (usize, usize)>,
    ended: usize,
    passed: usize,
    /// Commands that repeat what has failed.
    failures: Vec<String>,
}

/// What the thread that runs a file tells.
enum News {
    Counted(usize, (usize, usize)),
    Ended(usize, Result<Ran>),
}

impl<'a> Board<'a> {
    fn new(files: &'a [File]) -> Board<'a> {
        Board {
            files,
            running: BTreeMap::new(),
            ended: 0,
            passed: 0,
            failures: Vec::new(),
        }
    }

    /// Runs the files at these places, at most so many at once.
    fn run(
        &mut self,
        places: Vec<usize>,
        at_once: usize,
        arguments: &[OsString],
    ) -> Result<()> {
        let left = places.len();
        let queue = Mutex::new(places.into_iter());
        let (sender, news) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..at_once {
                let (sender, queue, files) = (&sender, &queue, self.files);
                scope.spawn(move || {
                    let next = || {
                        queue
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .next()
                    };
                    while let Some(place) = next() {
                        let count = |counts| {
                            let _ = sender.send(News::Counted(place, counts));
                        };
                        let ran = run(&files[place], arguments, count);
                        let _ = sender.send(News::Ended(place, ran));
                    }
                });
            }
            let mut left = left;
            while left > 0 {
                match news.recv_timeout(QUIET) {
                    Ok(News::Counted(place, counts)) => {
                        self.running.insert(place, counts);
                        draw(&self.state())?;
                    }
                    Ok(News::Ended(place, ran)) => {
                        left -= 1;
                        self.ended += 1;
                        self.running.remove(&place);
                        draw("")?;
                        self.report(&self.files[place], &ran?)?;
                    }
                    Err(_) if io::stdout().is_terminal() => {}
                    Err(_) => println!("{}", self.state()),
                }
            }
            Ok(())
        })
    }

    /// What is going on, in one line.
    fn state(&self) -> String {
        let running: Vec<String> = self
            .running
            .iter()
            .map(|(&place, (ended, all))| {
                format!("{} {ended} of {all}", self.files[place].name)
            })
            .collect();
        let (ended, all) = (self.ended, self.files.len());
        format!("{ended} of {all} files, now {}", running.join(", "))
    }

    fn report(&mut self, file: &File, ran: &Ran) -> Result<()> {
        self.passed += ran.passed;
        self.failures.extend(failures_of(file, ran));
        let lines = match ran.success {
            true => &ran.remarks,
            false => &ran.output,
        };
        let verdict = match (ran.success, ran.failed.len()) {
            (true, _) => String::new(),
            (false, 0) => ", FAILED".to_owned(),
            (false, failed) => format!(", {failed} FAILED"),
        };
        let mut output = io::stdout().lock();
        writeln!(
            output,
            "{:<16} {:>5} passed{verdict} {:>7.1} s",
            file.name,
            ran.passed,
            ran.took.as_secs_f64()
        )?;
        for line in lines {
            writeln!(output, "    {line}")?;
        }
        Ok(())
    }
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

/// Compiles all test files.
fn compile() -> Result<Vec<File>> {
    let mut packages = vec![env!("CARGO_PKG_NAME"), "running", "timelines"];
    // What needs Chromium takes long to compile.
    match chromium::find() {
        Err(missing) if !needs::on_ci() => {
            println!("skipped, browser and pdf: {missing:#}");
        }
        _ => packages.push("printing"),
    }
    let mut files = compile_tests(&packages, &["--lib", "--test=*"])?;
    // Beside the others the crates have the features that the others want,
    // and need not be compiled again.
    packages.push("benches");
    let tests = ["--test=shared_memory", "--test=ring_under_loom"];
    files.extend(compile_tests(&packages, &tests)?);
    files.sort_by_key(|file| {
        let place = ORDER.iter().position(|name| *name == file.name);
        (place.unwrap_or(ORDER.len()), file.command.clone())
    });
    Ok(files)
}

fn compile_tests(packages: &[&str], tests: &[&str]) -> Result<Vec<File>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["test", "--no-run", "--quiet"])
        .arg("--message-format=json-render-diagnostics")
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(tests)
        .current_dir(running::root())
        .stderr(Stdio::inherit());
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
fn package(folder: &Path) -> Option<String> {
    if folder == running::root() {
        return Some(env!("CARGO_PKG_NAME").to_owned());
    }
    Some(folder.file_name()?.to_string_lossy().into_owned())
}

fn run(
    file: &File,
    arguments: &[OsString],
    count: impl Fn((usize, usize)),
) -> Result<Ran> {
    let start = Instant::now();
    count((0, 0));
    let memory = memory(file, arguments)?;
    if let Some(verified) = &memory
        && verified.holds(&file.name, &Depends::default())
    {
        return Ok(Ran {
            success: true,
            remarks: vec!["unchanged since it passed".to_owned()],
            ..Ran::default()
        });
    }
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
    let mut ran = Ran::default();
    let (mut total, mut ended) = (0, 0);
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        match Line::of(&line) {
            Line::Running(tests) => total = tests,
            Line::Test => ended += 1,
            Line::Nothing => {}
            Line::Remark => ran.remarks.push(line.clone()),
        }
        count((ended, total));
        ran.output.push(line);
    }
    ran.success = child.wait()?.success();
    if let Some(verified) = memory {
        verified
            .once(&file.name, &Depends::default(), || match ran.success {
                true => Ok(()),
                false => Err(()),
            })
            .ok();
    }
    ran.took = start.elapsed();
    ran.failed = failed(&ran.output);
    ran.passed = ran.output.iter().filter_map(|line| passed(line)).sum();
    Ok(ran)
}

/// Where the success of a file is remembered, if it is.
fn memory(file: &File, arguments: &[OsString]) -> Result<Option<Verified>> {
    let is_remembered = SELF_CONTAINED.contains(&file.name.as_str())
        && arguments.is_empty()
        && !needs::on_ci();
    if !is_remembered {
        return Ok(None);
    }
    let profile = file.executable.parent().and_then(Path::parent);
    let supervisor = profile.context("Cargo's folder")?.join("supervise");
    Ok(Some(Verified::of(&file.executable, &supervisor)?))
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
