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
/// Describes a worker that is to start with an environment of its own, in
/// which only PATH is set, and with no signal blocked.
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

fn worker() -> Result<()> {
    let secret = env::var_os("SECRET").is_some();
    let blocked = SigSet::thread_get_mask()?.contains(Signal::SIGTERM);
    let path = env::var_os("PATH").is_some();
    process::exit(match (secret, blocked, path) {
        (true, _, _) => 2,
        (_, true, _) => 3,
        (_, _, false) => 4,
        (false, false, true) => 0,
    })
}

fn check() -> Result<()> {
    // SAFETY: this process has one thread, so nobody reads meanwhile.
    unsafe {
        env::set_var("SECRET", "open sesame");
        env::set_var("PATH", "/usr/bin:/bin");
    }
    SigSet::from(Signal::SIGTERM).thread_block()?;
    let status = clean_worker()?.status().context("cannot start it")?;
    match status.code() {
        Some(2) => bail!("not solved yet: the worker knows the secret"),
        Some(3) => bail!("not solved yet: SIGTERM is blocked in the worker"),
        Some(4) => bail!("not solved yet: the worker has no PATH"),
        _ => ensure!(status.success(), "not solved yet: {status}"),
    }
    println!("solved");
    Ok(())
}
// ANCHOR_END: all
