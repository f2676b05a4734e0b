// ANCHOR: all
//! Exercise: stop a worker with everything that it has started.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some("helper") => helper(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"worker\" or \"helper\"")
        }
    }
}

// ANCHOR: piece
fn start_tree() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start the worker")
}

fn stop_tree(worker: &mut Child) -> Result<()> {
    let group = Pid::from_raw(worker.id().try_into()?);
    killpg(group, Signal::SIGKILL).context("cannot kill the group")?;
    worker.wait().context("cannot wait for the worker")?;
    Ok(())
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut worker = start_tree()?;
    let mut input = worker.stdin.take().context("no pipe to write to")?;
    let output = worker.stdout.take().context("no pipe to read from")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "the helper said {line:?}, not \"ready\"");

    stop_tree(&mut worker)?;
    // Fails when no reader is left, and that is as it should be.
    let _ = writeln!(input, "still there?");
    drop(input);
    let mut answer = String::new();
    output.read_to_string(&mut answer)?;
    reap_orphan()?;
    ensure!(
        answer.is_empty(),
        "not solved yet: the helper said {answer:?}"
    );
    println!("solved: the helper is gone as well");
    Ok(())
}

/// The helper is ours to wait for, unless the worker was still there to do it.
fn reap_orphan() -> Result<()> {
    #[cfg(target_os = "linux")]
    match nix::sys::wait::wait() {
        Ok(_) | Err(nix::errno::Errno::ECHILD) => {}
        Err(error) => return Err(error).context("cannot wait for the helper"),
    }
    Ok(())
}

fn worker() -> Result<()> {
    let mut helper = Command::new(env::current_exe()?)
        .arg("helper")
        .spawn()
        .context("cannot start the helper")?;
    helper.wait().context("cannot wait for the helper")?;
    Ok(())
}

fn helper() -> Result<()> {
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::stdout())
        .context("cannot copy standard input")?;
    Ok(())
}
// ANCHOR_END: all
