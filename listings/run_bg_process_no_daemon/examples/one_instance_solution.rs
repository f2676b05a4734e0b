// ANCHOR: all
//! Exercise: allow one worker at a time, also after a crash.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => check(),
        Some("worker") => {
            worker(args.next().context("the claim's path is missing")?.as_ref())
        }
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: exercise
/// Fails if another worker has made this claim and still runs.
fn claim(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .context("cannot open the claim")?;
    file.try_lock().context("another worker is running")?;
    Ok(file)
}
// ANCHOR_END: exercise

fn check() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("worker.claim");
    let (mut first, first_runs) = start_worker(&path)?;
    let (mut second, second_runs) = start_worker(&path)?;
    first.kill()?; // a crash
    first.wait()?;
    drop(second.stdin.take());
    second.wait()?;
    // By now the number of the first may be that of another process.
    fs::write(&path, process::id().to_string())?;
    let (mut third, third_runs) = start_worker(&path)?;
    drop(third.stdin.take());
    third.wait()?;
    ensure!(first_runs, "not solved yet: no worker can start");
    ensure!(!second_runs, "not solved yet: two workers ran at once");
    ensure!(third_runs, "not solved yet: none can start after a crash");
    println!("solved: one at a time, also after a crash");
    Ok(())
}

fn start_worker(path: &Path) -> Result<(Child, bool)> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("worker")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the worker")?;
    let output = worker.stdout.take().context("the worker has no output")?;
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        sender.send(line)
    });
    let Ok(line) = said.recv_timeout(Duration::from_secs(5)) else {
        worker.kill()?;
        worker.wait()?;
        bail!("not solved yet: a worker neither runs nor gives up");
    };
    Ok((worker, line == "running\n"))
}

fn worker(path: &Path) -> Result<()> {
    let _claim = claim(path)?;
    println!("running");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
// ANCHOR_END: all
