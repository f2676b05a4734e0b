// ANCHOR: all
//! Proves that process::exit leaves a background process unjoined.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::waitpid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("program") => program(env::args().nth(2)),
        Some("background") => background(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"program\" or \"background\""
        ),
    }
}

struct JoinOnDrop(Child);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        // wait closes the child's standard input first: its signal to stop.
        let end = match self.0.wait() {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => format!("cannot wait for it: {error}"),
        };
        // No println!: a panic here, during another, would abort.
        let _ = writeln!(io::stderr(), "the background process: {end}");
    }
}

// ANCHOR: program
fn program(ending: Option<String>) -> Result<()> {
    let ending = ending.context("program: the argument ENDING is missing")?;
    let _guard = JoinOnDrop(start_background()?);
    match ending.as_str() {
        "return" => Ok(()),
        "exit" => process::exit(0),
        _ => bail!("unknown ending {ending:?}"),
    }
}
// ANCHOR_END: program

// ANCHOR: proof
fn parent() -> Result<()> {
    adopt_orphans()?;
    let (mut program, input) = start_program("exit")?;
    let status = program.wait();
    let answered = answers(&mut program, input);
    let orphan = reap_orphan();
    ensure!(status?.success(), "the program has failed");
    assert!(answered?);
    orphan?;

    let (mut program, input) = start_program("return")?;
    drop(input);
    assert!(program.wait()?.success());
    assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
    println!("exit leaves a child behind, return does not");
    Ok(())
}
// ANCHOR_END: proof

fn start_background() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("background")
        .spawn()
        .context("cannot start the background process")
}

fn answers(program: &mut Child, mut input: ChildStdin) -> Result<bool> {
    let output = program.stdout.as_mut().context("no pipe to read from")?;
    writeln!(input, "hello")?;
    let mut answer = String::new();
    BufReader::new(output).read_line(&mut answer)?;
    Ok(answer == "hello\n")
}

fn start_program(ending: &str) -> Result<(Child, ChildStdin)> {
    let mut program = Command::new(env::current_exe()?)
        .args(["program", ending])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the program")?;
    // Taken out, so that wait does not close it.
    let input = program.stdin.take().context("no pipe to write to")?;
    Ok((program, input))
}

fn background() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::stdout())
        .context("cannot copy standard input")?;
    Ok(())
}

/// Makes the orphan a child of this process, which can then wait for it.
#[cfg(target_os = "linux")]
fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("cannot adopt orphans")
}

#[cfg(target_os = "linux")]
fn reap_orphan() -> Result<()> {
    nix::sys::wait::wait().context("cannot wait for the orphan")?;
    Ok(())
}

/// Elsewhere the first process of the system waits for the orphan.
#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn reap_orphan() -> Result<()> {
    Ok(())
}
// ANCHOR_END: all
