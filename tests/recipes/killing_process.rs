//! Section `killing_process`.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use running::supervise::Supervised;

use crate::{SUPERVISOR, executable};

const DEADLINE: Duration = Duration::from_secs(20);

/// The thread that watches the lifeline used to print before it ended the
/// worker. With the parent gone, nobody reads, and printing panics.
#[test]
fn worker_stays_when_its_last_words_fail() -> Result<()> {
    let mut worker = Command::new(executable("graceful_shutdown"))
        .arg("tidy")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(worker.stderr.take());
    let output = worker.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    drop(worker.stdin.take());

    let pid = Pid::from_raw(worker.id().try_into()?);
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || ended.send(worker.wait()));
    let status = end.recv_timeout(DEADLINE);
    if status.is_err() {
        kill(pid, Signal::SIGKILL)?;
    }
    let _ = waiter.join();
    ensure!(line == "ready\n", "the worker said {line:?}");
    let status = status.context("the worker outlives its lifeline")??;
    ensure!(status.code() == Some(1), "it ended with {status}");
    Ok(())
}

/// A role that is no text used to be a panic.
#[test]
fn role_that_is_not_utf8_is_a_panic() -> Result<()> {
    for program in ["killing_process", "graceful_shutdown"] {
        let outcome = Supervised::new(SUPERVISOR, executable(program))
            .arg(OsStr::from_bytes(b"work\xff"))
            .deadline(DEADLINE)
            .run()?;
        let faults = outcome.faults_unless_exit(1);
        ensure!(faults.is_empty(), "{program}: {}", faults.join("; "));
        ensure!(
            outcome.output.contains("unknown role \"work\\xFF\""),
            "{program}: {}",
            outcome.output
        );
    }
    Ok(())
}
