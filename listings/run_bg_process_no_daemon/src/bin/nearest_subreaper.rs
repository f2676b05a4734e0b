// ANCHOR: all
//! Asks an orphan who its parent is, before and after its adopter ends.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::parent_id;
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::wait;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => observer(),
        Some("supervisor") => supervisor(),
        Some("main") => match args.next().as_deref() {
            Some("supervised") => main_program(),
            _ => bail!("the argument \"supervised\" is missing"),
        },
        Some("worker") => worker(),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"supervisor\", \"main\" or \"worker\""
        ),
    }
}

fn observer() -> Result<()> {
    adopt_orphans()?;
    let mut supervisor = Command::new(env::current_exe()?)
        .arg("supervisor")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the supervisor")?;
    let mut questions = supervisor.stdin.take().context("no input")?;
    let output = supervisor.stdout.take().context("no output")?;
    let mut answers = BufReader::new(output).lines();
    let line = answers.next().context("the supervisor is gone")??;
    ensure!(line == "main ended", "the supervisor said {line:?}");
    let mut workers_parent = || {
        writeln!(questions, "who is your parent?")?;
        let answer = answers.next().context("the worker is gone")??;
        answer.parse::<u32>().context("the answer is no PID")
    };

    // ANCHOR: proof
    // An orphan's parent is the nearest subreaper above it...
    assert_eq!(workers_parent()?, supervisor.id(), "the nearest");
    supervisor.kill()?;
    supervisor.wait()?;
    // ...and when that one ends, the next.
    assert_eq!(workers_parent()?, process::id(), "the next");
    // ANCHOR_END: proof
    drop(questions);
    wait().context("cannot wait for the worker")?;
    println!("main ended: the worker's parent is the supervisor");
    println!("the supervisor ended: it is the observer");
    Ok(())
}

// ANCHOR: supervisor
fn supervisor() -> Result<()> {
    adopt_orphans()?;
    Command::new(env::current_exe()?)
        .args(["main", "supervised"])
        .status()
        .context("cannot run main")?;
    println!("main ended");
    wait().context("cannot wait for the worker")?;
    Ok(())
}
// ANCHOR_END: supervisor

fn main_program() -> Result<()> {
    let worker = Command::new(env::current_exe()?)
        .arg("worker")
        .spawn()
        .context("cannot start the worker")?;
    drop(worker);
    Ok(())
}

/// Names its parent once for each line that it reads.
fn worker() -> Result<()> {
    for question in io::stdin().lines() {
        question?;
        println!("{}", parent_id());
    }
    Ok(())
}

fn adopt_orphans() -> Result<()> {
    if cfg!(not(target_os = "linux")) {
        bail!("this program adopts orphans, which takes Linux");
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    // If our starter ignored SIGCHLD, nobody could be waited for.
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    Ok(())
}
// ANCHOR_END: all
