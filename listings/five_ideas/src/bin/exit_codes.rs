// ANCHOR: all
//! Starts three children and collects the exit status of each.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

// ANCHOR: statuses
fn main() -> Result<ExitCode> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("ok") => Ok(ExitCode::SUCCESS),
        Some("three") => Ok(ExitCode::from(3)),
        Some("error") => bail!("this child returns an error"),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"ok\", \"three\" or \"error\""
        ),
    }
}

fn parent() -> Result<ExitCode> {
    for role in ["ok", "three", "error"] {
        let mut child = Command::new(env::current_exe()?)
            .arg(role)
            .spawn()
            .context("cannot start a child")?;
        let status = child.wait().context("cannot wait for a child")?;
        println!("{role}: {status}");
    }
    Ok(ExitCode::SUCCESS)
}
// ANCHOR_END: statuses
// ANCHOR_END: all
