// ANCHOR: all
//! Exercise: turn an `ExitStatus` into Python's `exitcode`.

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Result, bail, ensure};

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    check()
}

// ANCHOR: task
fn exitcode(status: ExitStatus) -> i32 {
    status.code().unwrap_or(0)
}
// ANCHOR_END: task

fn check() -> Result<()> {
    // A raw status, as waitpid gives it: an exit code is in the second byte,
    // a signal in the first.
    for (raw, wanted) in [(0, 0), (3 << 8, 3), (15, -15), (9, -9)] {
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
// ANCHOR_END: all
