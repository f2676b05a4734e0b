// ANCHOR: all
//! Reads a main program's output to the end, while its worker holds the pipe.

use std::env;
use std::io::{self, PipeWriter};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use nix::unistd::Pid;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("main") => match args.next().as_deref() {
            Some("inherit") => main_program(Stdio::inherit()),
            Some("null") => main_program(Stdio::null()),
            _ => bail!("the worker's output is missing: inherit or null"),
        },
        Some("worker") => worker(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"worker\"")
        }
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    // ANCHOR: proof
    // The worker keeps main's standard output: its end is not enough.
    let (output, lifeline) = run_to_end("inherit")?;
    drop(lifeline); // the worker speaks, and ends
    let output = output.recv_timeout(Duration::from_secs(10))??;
    // So what was said after the end of main is in it.
    assert_eq!(output.stdout, b"the worker's last words\n");
    wait()?;

    // The worker has null output: the end of main is enough.
    let (output, lifeline) = run_to_end("null")?;
    let output = output.recv_timeout(Duration::from_secs(10))??;
    assert_eq!(output.stdout, b"");
    let any = Pid::from_raw(-1);
    let worker = waitpid(any, Some(WaitPidFlag::WNOHANG))?;
    assert_eq!(worker, WaitStatus::StillAlive);
    // ANCHOR_END: proof
    drop(lifeline);
    wait()?;
    println!("inherited output: read to the end only when the worker ended");
    println!("null output: read to the end while the worker runs");
    Ok(())
}

/// Waits for the end of main, then collects its output as `output()` does.
fn run_to_end(
    stdout: &str,
) -> Result<(Receiver<io::Result<Output>>, PipeWriter)> {
    let (reader, lifeline) = io::pipe()?;
    let mut main = Command::new(env::current_exe()?)
        .args(["main", stdout])
        .stdin(reader)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start main")?;
    main.wait()?;
    let (sender, output) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || sender.send(main.wait_with_output()))
        .context("cannot start a thread")?;
    Ok((output, lifeline))
}

fn main_program(stdout: Stdio) -> Result<()> {
    let worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdout(stdout)
        .spawn()
        .context("cannot start the worker")?;
    drop(worker);
    Ok(())
}

/// Lives until the observer closes the pipe that is its standard input.
fn worker() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("the worker's last words");
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}
// ANCHOR_END: all
