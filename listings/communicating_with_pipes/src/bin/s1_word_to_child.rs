// ANCHOR: all
//! Sends one word to a child through a pipe.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

// ANCHOR: word
fn parent() -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;
    let mut words = child.stdin.as_ref().context("no pipe to the child")?;
    // No `?` yet: the child is waited for in any case.
    let sent = writeln!(words, "fork");
    let status = child.wait().context("cannot wait for the child")?;
    sent.context("cannot send the word")?;
    ensure!(status.success(), "the child failed: {status}");
    Ok(())
}

fn child() -> Result<()> {
    let word = io::stdin().lines().next().context("no word came")?;
    println!("child: received {:?}", word.context("cannot read")?);
    Ok(())
}
// ANCHOR_END: word
// ANCHOR_END: all
