// ANCHOR: all
//! Exercise: stop a worker with everything that it has started.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;

const LIMIT: Duration = Duration::from_secs(10);

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
        .spawn()
        .context("cannot start the worker")
}

fn stop_tree(worker: &mut Child) -> Result<()> {
    worker.kill().context("cannot kill the worker")?;
    worker.wait().context("cannot wait for the worker")?;
    Ok(())
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    limit_time()?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut worker = start_tree()?;
    let mut input = worker.stdin.take().context("no pipe to write to")?;
    let output = worker.stdout.take().context("no pipe to read from")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "the helper said {line:?}, not \"ready\"");

    stop_tree(&mut worker).context("not solved yet")?;
    let worker = Pid::from_raw(worker.id().try_into()?);
    ensure!(
        kill(worker, None) == Err(Errno::ESRCH),
        "not solved yet: the worker has not been waited for"
    );
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

/// Says so if an answer hangs, and ends.
fn limit_time() -> Result<()> {
    let limit = || {
        thread::sleep(LIMIT);
        let hangs = "Error: not solved yet: it hangs, for 10 seconds now";
        let _ = writeln!(io::stderr(), "{hangs}");
        process::exit(1);
    };
    thread::Builder::new().spawn(limit)?;
    Ok(())
}

/// The helper is ours to wait for, unless the worker was still there to do it.
fn reap_orphan() -> Result<()> {
    #[cfg(target_os = "linux")]
    match nix::sys::wait::wait() {
        Ok(_) | Err(Errno::ECHILD) => {}
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
    // It takes no notice of SIGTERM.
    flag::register(SIGTERM, Arc::default())?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::stdout())
        .context("cannot copy standard input")?;
    Ok(())
}
// ANCHOR_END: all
