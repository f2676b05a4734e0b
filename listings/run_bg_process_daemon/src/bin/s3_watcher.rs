// ANCHOR: all
//! A daemon that works, while a thread of it reads the lifeline.

use std::process::{self, Command, Stdio};
use std::{env, io, thread};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => main_program(),
        Some("daemon") => daemon(),
        Some(role) => bail!("unknown role {role:?}: expected \"daemon\""),
    }
}

// ANCHOR: watcher
fn daemon() -> Result<()> {
    println!("daemon: work without end");
    let watcher = thread::Builder::new().spawn(end_with_main);
    watcher.context("cannot start the watcher")?;
    loop {
        thread::park(); // stands for the work
    }
}

fn end_with_main() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    process::exit(0);
}
// ANCHOR_END: watcher

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
// ANCHOR_END: all
