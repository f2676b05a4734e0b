// ANCHOR: all
//! Asks a daemon in a container for its parent, which is alive and process 1.

use std::env;
use std::os::unix::process::parent_id;
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("first") => first(),
        Some("daemon") => {
            let parent = args.next().context("the parent's PID is missing")?;
            daemon(parent.parse()?)
        }
        Some(role) => {
            bail!("unknown role {role:?}: expected \"first\" or \"daemon\"")
        }
    }
}

fn observer() -> Result<()> {
    if enter_container()? {
        living_parent_is_one()?;
    }
    println!("where PID namespaces are allowed: the living parent is 1");
    Ok(())
}

fn living_parent_is_one() -> Result<()> {
    // ANCHOR: proof
    // Process 1 of the container waits for its daemon, so it is alive.
    let first = Command::new(env::current_exe()?)
        .arg("first")
        .stdin(Stdio::null())
        .output()
        .context("cannot run process 1")?;
    let report = String::from_utf8(first.stdout)?;
    assert_eq!(report, "getppid() == 1: true, parent as expected: true\n");
    // ANCHOR_END: proof
    Ok(())
}

fn first() -> Result<()> {
    Command::new(env::current_exe()?)
        .arg("daemon")
        .arg(process::id().to_string())
        .status()
        .context("cannot run the daemon")?;
    Ok(())
}

// ANCHOR: daemon
fn daemon(parent: u32) -> Result<()> {
    let one = parent_id() == 1;
    let as_expected = parent_id() == parent;
    println!("getppid() == 1: {one}, parent as expected: {as_expected}");
    Ok(())
}
// ANCHOR_END: daemon

/// The children of this process live in a new PID namespace from now on. The
/// first one is its process 1. False if the system does not allow it.
#[cfg(target_os = "linux")]
fn enter_container() -> Result<bool> {
    use nix::errno::Errno;
    use nix::sched::{CloneFlags, unshare};
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID) {
        Ok(()) => Ok(true),
        Err(Errno::EPERM | Errno::ENOSPC | Errno::EINVAL) => Ok(false),
        Err(error) => Err(error).context("cannot make a PID namespace"),
    }
}

#[cfg(not(target_os = "linux"))]
fn enter_container() -> Result<bool> {
    Ok(false)
}
// ANCHOR_END: all
