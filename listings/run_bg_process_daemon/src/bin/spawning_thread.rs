// ANCHOR: all
//! Ends the thread that has spawned a daemon with a parent-death signal.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::alarm;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("daemon") => {
            let parent = args.next().context("the parent's PID is missing")?;
            die_with_parent(parent.parse()?)?;
            daemon()
        }
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

fn parent() -> Result<()> {
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    // ANCHOR: proof
    let (mut mains, mut answers) = start_daemon()?;
    let thread = thread::Builder::new().spawn(start_daemon)?;
    let thread = thread.join().map_err(|_| anyhow!("panic"))?;
    let (mut threads, _) = thread?;

    // `wait` closes the lifeline, unless somebody else holds it.
    let _lifeline = threads.stdin.take();
    let status = threads.wait()?;
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    // The other one lives: it answers.
    let mut lifeline = mains.stdin.take().context("no lifeline")?;
    lifeline.write_all(b"still there?\n")?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    assert_eq!(answer, "alive\n");
    // ANCHOR_END: proof
    drop(lifeline);
    mains.wait()?;
    println!("spawned by a thread that has ended: {status}");
    println!("spawned by the main thread: runs");
    Ok(())
}

fn start_daemon() -> Result<(Child, BufReader<ChildStdout>)> {
    let mut daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .arg(process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    let output = daemon.stdout.take().context("the daemon has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    if line != "ready\n" {
        let end = daemon.wait()?; // which cuts the lifeline
        bail!("the daemon said {line:?}, not \"ready\": {end}");
    }
    Ok((daemon, output))
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    let now = std::os::unix::process::parent_id();
    ensure!(now == parent, "the parent is gone");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: u32) -> Result<()> {
    bail!("this program sets a parent-death signal, which takes Linux");
}

fn daemon() -> Result<()> {
    alarm::set(10); // another signal, should the expected one not come
    println!("ready");
    for question in io::stdin().lines() {
        question?;
        println!("alive");
    }
    Ok(())
}
// ANCHOR_END: all
