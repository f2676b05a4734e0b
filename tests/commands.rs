//! Every command that the README and the pages show works.
//!
//! A command that runs a listing must name one: `tests/listings.rs` runs the
//! very executable. Cargo itself is started for a few that are drawn by lot,
//! and where `CI=true` for each section's main program, too; `COMMANDS=all`
//! starts it for all, and `COMMANDS_SEED=7` draws the same lot again.
//!
//! `cargo test` itself is left to whoever runs this test, and what changes
//! files (`SNAPSHOTS=overwrite`) is only checked to name a test that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use book::expand;
use libtest_mimic::{Arguments, Failed, Trial};
use running::depends;
use running::needs::{self, MDBOOK};
use running::programs::{self, Program};
use running::root;
use running::supervise::{SUPERVISOR, Supervised};
use running::verified::Verified;

/// A command may have to compile first.
const DEADLINE: Duration = Duration::from_secs(600);

/// The programs have been compiled, but some crates may have to be compiled
/// again for one package alone.
const RUN_DEADLINE: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(5);

/// Listings that Cargo is started for on a reader's machine, and where
/// `CI=true` beside the main programs.
const LOT: usize = 3;
const LOT_ON_CI: usize = 6;

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let verified = Arc::new(Verified::beside(&SUPERVISOR)?);
    let programs = programs::build(root())?;
    let commands = commands()?;
    let started = Arc::new(started(&programs, &commands)?);
    let programs = Arc::new(programs);
    let trials = commands.into_iter().map(|(command, places)| {
        let verified = Arc::clone(&verified);
        let (programs, started) = (Arc::clone(&programs), Arc::clone(&started));
        Trial::test(command.clone(), move || {
            let works = match command.starts_with("cargo run -p ") {
                true => {
                    let is_started = started.contains(&command);
                    runs(&verified, &programs, &command, is_started)
                }
                false => works(&command),
            };
            works.map_err(|error| {
                Failed::from(format!(
                    "{}: {command}: {error:#}",
                    places.join(", ")
                ))
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// The commands for which Cargo is started.
fn started(
    programs: &[Program],
    commands: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeSet<String>> {
    let runs = commands.keys().filter(|it| it.starts_with("cargo run -p "));
    if env::var_os("COMMANDS").is_some_and(|share| share == "all") {
        return Ok(runs.cloned().collect());
    }
    let seed: u64 = match env::var("COMMANDS_SEED") {
        Ok(seed) => seed.parse().context("COMMANDS_SEED is a number")?,
        Err(_) if needs::on_ci() => fastrand::u64(..),
        // The same lot each time, so that it is remembered.
        Err(_) => 0,
    };
    println!("commands drawn by lot: COMMANDS_SEED={seed}");
    let is_main = |command: &&String| {
        programs.iter().any(|program| {
            program.name == program.section && program.command() == **command
        })
    };
    let (mut started, mut others): (Vec<_>, Vec<_>) =
        runs.partition(|command| needs::on_ci() && is_main(command));
    fastrand::Rng::with_seed(seed).shuffle(&mut others);
    let lot = if needs::on_ci() { LOT_ON_CI } else { LOT };
    started.extend(others.into_iter().take(lot));
    Ok(started.into_iter().cloned().collect())
}

/// A listing's command names a listing; where it is asked for, Cargo runs it.
fn runs(
    verified: &Verified,
    programs: &[Program],
    command: &str,
    is_started: bool,
) -> Result<()> {
    // What follows the dashes is for the program: nobody else runs it so.
    let (plain, own) = match command.split_once(" -- ") {
        Some((plain, _)) => (plain, true),
        None => (command, false),
    };
    let program = programs.iter().find(|it| it.command() == plain);
    let program = program.context("there is no such listing")?;
    let source = fs::read_to_string(root().join(&program.source))?;
    if !(is_started || own) || needs::is_left_out(command, &source) {
        return Ok(());
    }
    let depends = depends::command(root(), &program.section)?;
    let words: Vec<&str> = command.split_whitespace().collect();
    verified.once(command, &depends, || runs_alone(&words))
}

/// Each command of the `sh` fences, with the places where it stands.
fn commands() -> Result<BTreeMap<String, Vec<String>>> {
    let mut documents: Vec<(PathBuf, String)> = expand::pages(root())?
        .into_iter()
        .map(|page| (page.path, page.source))
        .collect();
    for name in ["README.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(name))
            .with_context(|| format!("cannot read {name}"))?;
        documents.push((name.into(), text));
    }
    let mut commands: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in documents {
        for fence in expand::fences(&text) {
            if fence.language() != "sh" {
                continue;
            }
            for (index, line) in fence.text.lines().enumerate() {
                let place =
                    format!("{}:{}", path.display(), fence.line + 1 + index);
                commands.entry(line.to_owned()).or_default().push(place);
            }
        }
    }
    ensure!(!commands.is_empty(), "the pages show no command");
    Ok(commands)
}

fn works(command: &str) -> Result<()> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "run", "--", "build"] => ends_well(&words, DEADLINE, &[]),
        ["cargo", "run", "--", "pdf"] => Ok(()), // tests/pdf.rs runs it
        ["cargo", "run", ..] => serves(&words),
        ["cargo", "test"] => Ok(()),
        [
            "SNAPSHOTS=overwrite" | "VERIFY=all" | "REPEAT=100",
            rest @ ..,
        ] => names_a_test(rest),
        ["cargo", "test", ..] => names_a_test(&words),
        // It takes minutes; the lints see to it that it compiles.
        ["cargo", "bench", "--bench", name] => exists("benches", name),
        // A nightly toolchain is nothing that a reader must have. The same
        // test runs without Miri as part of `cargo test`, and with it in the
        // workflow.
        [
            "cargo",
            nightly,
            "miri",
            "test",
            "-p",
            package,
            "--test",
            name,
        ] if nightly.starts_with("+nightly-") => {
            let workflow = root().join(".github/workflows/verify.yml");
            let workflow = fs::read_to_string(workflow)?;
            let toolchain = format!("install {} ", &nightly[1..]);
            for part in [command, &toolchain] {
                ensure!(workflow.contains(part), "no workflow has {part}");
            }
            exists(&format!("{package}/tests"), name)
        }
        ["python3", script] => {
            ensure!(root().join(script).is_file(), "there is no {script}");
            Ok(()) // tests/twins.rs runs it
        }
        ["mdbook", "build" | "serve", ..] => stock_mdbook(&words),
        _ => bail!("tests/commands.rs does not know how to run this"),
    }
}

/// Runs a listing as its command says, in a target folder of its own: alone a
/// package has other features than beside the others, and so Cargo would put
/// another executable in the place of one that another test runs. A program
/// that starts itself again would then no longer find itself.
fn runs_alone(words: &[&str]) -> Result<()> {
    let profile = SUPERVISOR.parent().context("Cargo's profile folder")?;
    let target = profile.with_file_name("commands");
    ends_well(
        words,
        RUN_DEADLINE,
        &[("CARGO_TARGET_DIR", target.as_os_str())],
    )
}

fn ends_well(
    words: &[&str],
    deadline: Duration,
    variables: &[(&str, &OsStr)],
) -> Result<()> {
    let mut supervised = Supervised::new(&*SUPERVISOR, program(words[0]))
        .args(&words[1..])
        .current_dir(root())
        .deadline(deadline)
        .grace(GRACE);
    for (name, value) in variables {
        supervised = supervised.env(name, value);
    }
    let outcome = supervised.run()?;
    // The starter of an exercise fails until the reader has solved it.
    let starter = words.last().is_some_and(|word| word.ends_with("_starter"));
    let faults = outcome.faults_unless_exit(if starter { 1 } else { 0 });
    ensure!(
        faults.is_empty(),
        "{}\n{}",
        faults.join("\n"),
        outcome.output
    );
    Ok(())
}

/// The reader's command serves until it is ended, so it is ended here.
fn serves(words: &[&str]) -> Result<()> {
    let mut arguments = words[1..].to_vec();
    if !arguments.contains(&"--no-open") {
        if !arguments.contains(&"--") {
            arguments.push("--");
        }
        arguments.push("--no-open");
    }
    let mut server = Running::start(words[0], &arguments)?;
    let address = server.line_after("The book is at http://")?;
    let address = address.split('/').next().unwrap_or_default();
    let page = fetch(address, "/killing_process.html")?;
    ensure!(
        page.starts_with("HTTP/1.1 200") && page.contains("SIGTERM"),
        "{address} did not serve the book: {}",
        page.lines().next().unwrap_or_default()
    );
    Ok(())
}

/// Stock mdBook is not needed to read the book; where it is installed, it
/// must work.
fn stock_mdbook(words: &[&str]) -> Result<()> {
    match MDBOOK.version() {
        Err(problem) if !needs::on_ci() => {
            eprintln!("skipped {}: {problem:#}", words.join(" "));
            return Ok(());
        }
        version => version?,
    };
    let folder = tempfile::tempdir()?;
    let place = folder.path().to_string_lossy().into_owned();
    if words[1] == "build" {
        let mut words = words.to_vec();
        words.extend(["--dest-dir", &place]);
        ends_well(&words, DEADLINE, &[])?;
        let index = folder.path().join("killing_process.html");
        ensure!(index.is_file(), "mdbook built no page");
        return Ok(());
    }
    let mut arguments = words[1..].to_vec();
    let port = free_port()?.to_string();
    arguments.extend(["--dest-dir", &place, "--port", &port]);
    let address = format!("127.0.0.1:{port}");
    let mut server = Running::start("mdbook", &arguments)?;
    server.line_after("Serving on: http://")?;
    // mdBook says so just before it listens.
    let page = (0..100)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            fetch(&address, "/killing_process.html").ok()
        })
        .context("mdbook serve does not answer")?;
    ensure!(
        page.contains("SIGTERM"),
        "mdbook serve served something else"
    );
    Ok(())
}

/// A port that nobody uses at this moment.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

fn names_a_test(words: &[&str]) -> Result<()> {
    let ["cargo", "test", "--test", name, ..] = words else {
        bail!("tests/commands.rs knows only `cargo test --test NAME` here");
    };
    exists("tests", name)
}

fn exists(folder: &str, name: &str) -> Result<()> {
    let folder = root().join(folder);
    let files = [format!("{name}.rs"), format!("{name}/main.rs")];
    ensure!(
        files.iter().any(|it| folder.join(it).is_file()),
        "there is no {name} in {}",
        folder.display()
    );
    Ok(())
}

fn program(name: &str) -> OsString {
    match name {
        "cargo" => env::var_os("CARGO").unwrap_or_else(|| name.into()),
        _ => name.into(),
    }
}

/// A server, which is ended with its whole process group when dropped: cargo
/// is a process of its own, and the server is its child.
struct Running {
    child: Child,
    output: BufReader<std::io::PipeReader>,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Result<Running> {
        use std::os::unix::process::CommandExt;

        let (reader, writer) = std::io::pipe()?;
        let child = Command::new(program(name))
            .args(arguments)
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Running {
            child,
            output: BufReader::new(reader),
        })
    }

    /// Reads on until a line contains `mark`; returns what follows it.
    fn line_after(&mut self, mark: &str) -> Result<String> {
        let mut printed = String::new();
        let mut line = String::new();
        while self.output.read_line(&mut line)? > 0 {
            if let Some((_, rest)) = line.split_once(mark) {
                return Ok(rest.trim_end().to_owned());
            }
            printed.push_str(&line);
            line.clear();
        }
        bail!("it ended without saying {mark:?}:\n{printed}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, killpg};

        if let Ok(group) = self.child.id().try_into() {
            let group = nix::unistd::Pid::from_raw(group);
            let _ = killpg(group, Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

fn fetch(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)
        .with_context(|| format!("cannot reach {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
