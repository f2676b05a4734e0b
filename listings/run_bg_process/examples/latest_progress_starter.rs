// ANCHOR: all
//! Exercise: show the newest report of a background process.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("counter") => counter(),
        Some(role) => bail!("unknown role {role:?}: expected \"counter\""),
    }
}

// ANCHOR: piece
/// The newest report that has arrived, if any has.
fn latest(reports: &Receiver<String>) -> Option<String> {
    reports.try_recv().ok()
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    let mut counter = Command::new(env::current_exe()?)
        .arg("counter")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the counter")?;
    let output = counter.stdout.take().context("no output to read")?;
    let (sender, reports) = mpsc::channel();
    let reader = thread::spawn(move || -> Result<()> {
        for line in BufReader::new(output).lines() {
            sender.send(line?)?;
        }
        Ok(())
    });
    ensure!(counter.wait()?.success(), "the counter failed");
    reader
        .join()
        .map_err(|_| anyhow!("the reader panicked"))??;

    let first = latest(&reports);
    ensure!(
        first.as_deref() == Some("100%"),
        "not solved yet: all reports are in, latest() gave {first:?}"
    );
    let second = latest(&reports);
    ensure!(second.is_none(), "not solved yet: then it gave {second:?}");
    println!("solved: latest() skipped what was out of date");
    Ok(())
}

fn counter() -> Result<()> {
    for percent in [25, 50, 75, 100] {
        println!("{percent}%");
    }
    Ok(())
}
// ANCHOR_END: all
