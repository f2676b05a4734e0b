// ANCHOR: all
//! A daemon that reads its standard input to the end, and ends with it.

use std::process::{Command, Stdio};
use std::{env, io};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => main_program(),
        Some("daemon") => daemon(),
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

// ANCHOR: lifeline
fn main_program() -> Result<()> {
    let mut daemon = Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")?;
    // Main does its work here. Then it cuts the lifeline.
    drop(daemon.stdin.take());
    let end = daemon.wait().context("cannot wait for the daemon")?;
    ensure!(end.success(), "the daemon failed: {end}");
    println!("main: the daemon has ended");
    Ok(())
}

fn daemon() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink()).context("cannot read")?;
    println!("daemon: end of file");
    Ok(())
}
// ANCHOR_END: lifeline
// ANCHOR_END: all
