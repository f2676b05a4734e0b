// ANCHOR: all
//! Starts itself in a role that it does not have.

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("worker") => Ok(()),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let output = Command::new(env::current_exe()?)
        .arg("wroker")
        .stdin(Stdio::null())
        .output()
        .context("cannot run the worker")?;
    let message = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("unknown role \"wroker\""));
    assert!(output.stdout.is_empty(), "the worker became a parent");
    print!("{}, {message}", output.status);
    // ANCHOR_END: proof
    Ok(())
}
// ANCHOR_END: all
