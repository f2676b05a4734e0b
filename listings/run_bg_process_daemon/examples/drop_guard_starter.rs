// ANCHOR: all
//! Exercise: a daemon that is gone however the function that uses it is left.

use std::io::{self, PipeReader};
use std::process::{Child, Command};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, wait, waitpid};
use nix::unistd::Pid;

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

fn work(input: PipeReader) -> Result<()> {
    let _daemon = KillOnDrop(start_daemon(input)?);
    fs::read("/no/such/file").context("the work fails half-way")?;
    Ok(())
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let (input, leash) = io::pipe()?;
    ensure!(work(input).is_err(), "the work was meant to fail");
    let any = Pid::from_raw(-1);
    let child = waitpid(any, Some(WaitPidFlag::WNOHANG));
    drop(leash); // ends a daemon that is left
    let _ = wait();
    ensure!(
        child == Err(Errno::ECHILD),
        "not solved yet: the daemon is left, or has not been waited for"
    );
    println!("solved: no daemon is left");
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
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: all
