// ANCHOR: all
//! Asks a daemon and the daemon's helper which parent-death signal they have.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("daemon") => daemon(),
        Some("helper") => report("helper"),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"daemon\" or \"helper\"")
        }
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let mut command = Command::new(env::current_exe()?);
    command.arg("daemon");
    let parent = process::id();
    // SAFETY: between fork and exec only system calls run.
    unsafe { command.pre_exec(move || die_with_parent(parent)) };
    let daemon = command.output().context("cannot run the daemon")?;
    let report = String::from_utf8(daemon.stdout)?;
    assert_eq!(report, "daemon: SIGKILL\nhelper: none\n");
    // ANCHOR_END: proof
    print!("{report}");
    Ok(())
}

fn daemon() -> Result<()> {
    report("daemon")?;
    Command::new(env::current_exe()?)
        .arg("helper")
        .status()
        .context("cannot run the helper")?;
    Ok(())
}

// ANCHOR: request
#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // The parent may have died before the request: do not start then.
    match std::os::unix::process::parent_id() == parent {
        true => Ok(()),
        false => Err(nix::errno::Errno::ESRCH.into()),
    }
}
// ANCHOR_END: request

#[cfg(target_os = "linux")]
fn report(name: &str) -> Result<()> {
    let signal = match nix::sys::prctl::get_pdeathsig()? {
        Some(signal) => signal.as_str(),
        None => "none",
    };
    writeln!(io::stdout(), "{name}: {signal}").context("cannot report")
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn report(_: &str) -> Result<()> {
    bail!("this program sets a parent-death signal, which takes Linux");
}
// ANCHOR_END: all
