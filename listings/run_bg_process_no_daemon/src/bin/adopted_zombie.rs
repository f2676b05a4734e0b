// ANCHOR: all
//! Adopts a worker that ends, and takes its time to wait for it.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
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
    // The worker holds main's output, so this also waits for the worker.
    let main = Command::new(env::current_exe()?)
        .args(["main", "adopted"])
        .output()
        .context("cannot run main")?;
    let worker = String::from_utf8(main.stdout)?.trim().parse()?;
    let worker = Pid::from_raw(worker);
    // ANCHOR: proof
    // The worker ends, and yet its PID is taken...
    wait_without_reaping(worker)?;
    assert_eq!(kill(worker, None), Ok(()));
    // ...until its adopter reaps it.
    waitpid(worker, None)?;
    assert_eq!(kill(worker, None), Err(Errno::ESRCH));
    // ANCHOR_END: proof
    println!("ended, not waited for: the PID is still taken");
    println!("waited for: no such process");
    Ok(())
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
    Ok(())
}
// ANCHOR_END: all
