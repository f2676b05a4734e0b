// ANCHOR: all
//! Starts itself again with an argument that names a role.

use std::os::unix::process::parent_id;
use std::process::Command;
use std::{env, process};

use anyhow::{Context, Result, bail, ensure};

// ANCHOR: roles
fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    println!("parent: I am PID {}", process::id());
    let status = Command::new(env::current_exe()?)
        .arg("child")
        .status()
        .context("cannot run the child")?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

fn child() -> Result<()> {
    println!("child: I am PID {}", process::id());
    println!("child: my parent is PID {}", parent_id());
    Ok(())
}
// ANCHOR_END: roles
// ANCHOR_END: all
