// ANCHOR: all
//! Ends a child by a signal.

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    // ANCHOR: signal
    // nix, like the kernel, has signed PIDs.
    let pid = Pid::from_raw(child.id().cast_signed());
    // No `?` yet: the child is waited for in any case.
    let sent = kill(pid, Signal::SIGTERM);
    let status = child.wait().context("cannot wait for the child")?;
    sent.context("cannot send SIGTERM")?;
    ensure!(
        status.signal() == Some(15),
        "SIGTERM is blocked or ignored here: {status}"
    );
    println!("{status}");
    println!("code: {:?}", status.code());
    // ANCHOR_END: signal
    Ok(())
}

fn child() -> Result<()> {
    for line in io::stdin().lines() {
        println!("child: {}", line.context("cannot read")?);
    }
    println!("child: end of file");
    Ok(())
}
// ANCHOR_END: all
