// ANCHOR: all
//! Solution: start a worker that inherits no secret and no blocked signal.

use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: task
/// Describes a worker that starts with nothing but PATH in its environment,
/// as the parent has it, and with no signal blocked.
fn clean_worker() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("worker").env_clear();
    if let Some(path) = env::var_os("PATH") {
        command.env("PATH", path);
    }
    // SAFETY: changing the signal mask is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
    Ok(command)
}
// ANCHOR_END: task

/// The exit code tells the check what is wrong.
fn worker() -> Result<()> {
    let path = env::var_os("PATH");
    let others = env::vars_os().filter(|(name, _)| name != "PATH").count();
    let blocked = SigSet::thread_get_mask()?;
    process::exit(if path != Some(PATH.into()) {
        2
    } else if others > 0 {
        3
    } else if blocked != SigSet::empty() {
        4
    } else {
        0
    })
}

const PATH: &str = "/usr/bin:/bin";

fn check() -> Result<()> {
    // SAFETY: this process has one thread, so nobody reads meanwhile.
    unsafe {
        env::set_var("SECRET", "open sesame");
        env::set_var("PATH", PATH);
    }
    let mask: SigSet = [Signal::SIGTERM, Signal::SIGUSR1].into_iter().collect();
    mask.thread_set_mask()?;
    let status = clean_worker()?.status().context("cannot start it")?;
    match status.code() {
        Some(2) => bail!("not solved yet: the worker has not this PATH"),
        Some(3) => bail!("not solved yet: more than PATH is set"),
        Some(4) => bail!("not solved yet: the worker has a signal blocked"),
        _ => ensure!(status.success(), "not solved yet: {status}"),
    }
    ensure!(
        env::var_os("SECRET").is_some() && SigSet::thread_get_mask()? == mask,
        "not solved yet: the parent has lost its secret or its mask"
    );
    println!("solved");
    Ok(())
}
// ANCHOR_END: all
