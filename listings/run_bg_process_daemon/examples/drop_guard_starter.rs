// ANCHOR: all
//! Exercise: a daemon that is gone however the function that uses it is left.

use std::io::{self, PipeReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, panic};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, wait, waitpid};
use nix::unistd::{Pid, alarm};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("daemon") => daemon(),
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

// ANCHOR: exercise
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // This only asks whether the daemon has ended. See that it has.
        let _ = self.0.try_wait();
    }
}

fn work(input: PipeReader, step: fn() -> Result<()>) -> Result<()> {
    let _daemon = KillOnDrop(start_daemon(input)?);
    step() // fails or panics
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let fails = || bail!("the work fails half-way");
    // A panic that prints no message.
    let panics = || panic::resume_unwind(Box::new("the work panics"));
    check_step(fails)?;
    check_step(panics)?;
    println!("solved: no daemon is left");
    Ok(())
}

fn check_step(step: fn() -> Result<()>) -> Result<()> {
    let (input, leash) = io::pipe()?;
    let start = Instant::now();
    let left = panic::catch_unwind(|| work(input, step));
    let limit = Duration::from_secs(10); // the daemon's alarm
    ensure!(!matches!(left, Ok(Ok(()))), "the work was meant to fail");
    ensure!(
        start.elapsed() < limit,
        "not solved yet: the guard waits, and nobody ends the daemon"
    );
    let any = Pid::from_raw(-1);
    // Asks without waiting: only without a child this is ECHILD.
    let child = waitpid(any, Some(WaitPidFlag::WNOHANG));
    drop(leash); // ends a daemon that is left
    let _ = wait();
    ensure!(
        child == Err(Errno::ECHILD),
        "not solved yet: the daemon is left, or has not been waited for"
    );
    Ok(())
}

fn start_daemon(input: PipeReader) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(input)
        .spawn()
        .context("cannot start the daemon")
}

fn daemon() -> Result<()> {
    alarm::set(10); // in case nobody is left to end it
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: all
