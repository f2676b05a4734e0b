// ANCHOR: all
//! A guard ends the daemon when the function that uses it is left.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => main_program(),
        Some("daemon") => daemon(),
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

// ANCHOR: guard
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take()); // the lifeline
        let end = self.0.wait();
        if !end.as_ref().is_ok_and(|status| status.success()) {
            let _ = writeln!(io::stderr(), "the daemon failed: {end:?}");
        }
    }
}

fn work(daemon: Child) -> Result<()> {
    let _guard = Guard(daemon);
    bail!("half of the work is done, the rest fails")
}
// ANCHOR_END: guard

fn main_program() -> Result<()> {
    let daemon = start_daemon()?;
    let error = work(daemon).err().context("the work does not fail")?;
    println!("main: {error}");
    Ok(())
}

fn start_daemon() -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg("daemon")
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start the daemon")
}

fn daemon() -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink()).context("cannot read")?;
    println!("daemon: end of file");
    Ok(())
}
// ANCHOR_END: all
