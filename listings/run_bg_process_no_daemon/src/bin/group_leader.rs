// ANCHOR: all
//! Calls setsid in a process that leads a process group already.

use std::env;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::setsid;

fn main() -> Result<()> {
    if let Some(arg) = env::args().nth(1) {
        bail!("unknown argument {arg:?}: this program takes none");
    }
    // ANCHOR: proof
    let mut command = Command::new("true");
    // SAFETY: between fork and exec only the system call setsid runs.
    unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
    let status = command.status().context("cannot run true")?;
    assert!(status.success());

    // process_group(0) makes the child the leader of a group of its own.
    command.process_group(0);
    let error = command.status().map_err(|error| error.kind());
    assert_eq!(error, Err(ErrorKind::PermissionDenied));
    // ANCHOR_END: proof
    println!("in a child: setsid succeeds");
    println!("in the leader of a group: permission denied");
    Ok(())
}
// ANCHOR_END: all
