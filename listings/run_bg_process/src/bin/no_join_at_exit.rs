// ANCHOR: all
//! Proves that a Rust main which returns does not wait for its children.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::{env, panic};

use anyhow::{Context, Result, bail, ensure};

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

fn program(ending: Option<String>) -> Result<()> {
    let ending = ending.context("program: the argument ENDING is missing")?;
    Command::new(env::current_exe()?)
        .arg("background")
        .spawn()
        .context("cannot start the background process")?;
    match ending.as_str() {
        "return" => Ok(()),
        "panic" => {
            // Its message is not the point here.
            panic::set_hook(Box::new(|_| {}));
            panic::panic_any("something went wrong")
        }
        _ => bail!("unknown ending {ending:?}"),
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    adopt_orphans()?;
    for (ending, code) in [("return", 0), ("panic", 101)] {
        let (mut program, input) = start_program(ending)?;
        let status = program.wait();
        // The program is gone. Its child has inherited both pipes.
        let answered = answers(&mut program, input);
        let orphan = reap_orphan();
        let status = status.context("cannot wait for the program")?;
        ensure!(status.code() == Some(code), "it has failed: {status}");
        assert!(answered?);
        orphan?;
        println!("{ending}: the program ends with {status}");
        println!("{ending}: its child answers");
    }
    Ok(())
}
// ANCHOR_END: proof

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
