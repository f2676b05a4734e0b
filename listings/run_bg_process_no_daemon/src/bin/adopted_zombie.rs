// ANCHOR: all
//! Adopts a worker that ends, and takes its time to wait for it.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("main") => match args.next().as_deref() {
            Some("adopted") => main_program(),
            _ => bail!("the argument \"adopted\" is missing"),
        },
        Some("worker") => worker(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"main\" or \"worker\"")
        }
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let worker = adopt_worker()?;
    // ANCHOR: proof
    // The worker ends, and yet its PID is taken...
    wait_without_reaping(worker)?;
    assert_eq!(kill(worker, None), Ok(()));
    // ...until its adopter reaps it.
    waitpid(worker, None)?;
    assert_eq!(kill(worker, None), Err(Errno::ESRCH));

    // An adopter that ignores SIGCHLD has nothing to wait for.
    // SAFETY: to ignore a signal runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    let worker = adopt_worker()?;
    assert_eq!(waitpid(worker, None), Err(Errno::ECHILD));
    assert_eq!(kill(worker, None), Err(Errno::ESRCH));
    // ANCHOR_END: proof
    println!("ended, not waited for: the PID is still taken");
    println!("waited for: no such process");
    println!("SIGCHLD ignored: no such process, and nothing to wait for");
    Ok(())
}

/// The worker of a main program that has ended.
fn adopt_worker() -> Result<Pid> {
    let mut main = Command::new(env::current_exe()?)
        .args(["main", "adopted"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start main")?;
    let output = main.stdout.take().context("main has no output")?;
    // The worker holds main's output, so this waits for both to end.
    let worker = io::read_to_string(output)?;
    // If SIGCHLD is ignored there is nothing to wait for.
    let _ = main.wait();
    Ok(Pid::from_raw(worker.trim().parse()?))
}

#[cfg(target_os = "linux")]
fn wait_without_reaping(worker: Pid) -> Result<()> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(worker), ended)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn wait_without_reaping(_: Pid) -> Result<()> {
    bail!("this program adopts orphans, which takes Linux");
}

fn main_program() -> Result<()> {
    let worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the worker")?;
    println!("{}", worker.id());
    Ok(())
}

/// Has nothing to read, and so ends.
fn worker() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())?;
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
