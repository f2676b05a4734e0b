// ANCHOR: all
//! Exercise: let a worker say its last words.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{self, Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("worker") => worker(),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: piece
fn end(worker: &mut Child) -> Result<()> {
    worker.kill().context("cannot end the worker")
}
// ANCHOR_END: piece

fn check() -> Result<()> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the worker")?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "the worker said {line:?}, not \"ready\"");

    end(&mut worker)?;
    let mut last_words = String::new();
    output.read_to_string(&mut last_words)?;
    let status = worker.wait()?;
    ensure!(
        last_words == "saved\n" && status.success(),
        "not solved yet: {status}, last words {last_words:?}"
    );
    println!("solved: {status}, last words {last_words:?}");
    Ok(())
}

fn worker() -> Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(1);
    });
    println!("ready");
    for _ in signals.forever().take(1) {
        println!("saved");
    }
    Ok(())
}
// ANCHOR_END: all
