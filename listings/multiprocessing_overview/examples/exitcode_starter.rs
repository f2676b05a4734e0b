// ANCHOR: all
//! Exercise: turn an `ExitStatus` into Python's `exitcode`.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    limited(check)
}

// ANCHOR: task
fn exitcode(status: ExitStatus) -> i32 {
    status.code().unwrap_or(0)
}
// ANCHOR_END: task

fn check() -> Result<()> {
    // Raw statuses, as waitpid gives them: an exit code is in the second
    // byte, a signal in the first, with 128 added if memory was dumped.
    let codes = (0..=255).map(|code| (code << 8, code));
    let signals = (1..=64).map(|signal| (signal, -signal));
    let dumped = [3, 4, 6, 11].map(|signal| (128 + signal, -signal));
    for (raw, wanted) in codes.chain(signals).chain(dumped) {
        let status = ExitStatus::from_raw(raw);
        let found = exitcode(status);
        ensure!(
            found == wanted,
            "not solved yet: {status} became {found}, not {wanted}"
        );
    }
    println!("solved");
    Ok(())
}

/// Runs the check, and says so if it does not end.
fn limited(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || sender.send(check()))
        .context("cannot start a thread")?;
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => bail!("not solved yet: it hangs"),
        Err(_) => bail!("not solved yet: it panicked"),
    }
}
// ANCHOR_END: all
