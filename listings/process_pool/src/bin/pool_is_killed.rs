// ANCHOR: all
//! Proves that busy workers end when the pool is killed or interrupted.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::unbounded;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("pool") => pool(),
        Some("worker") => worker(),
        Some(role) => {
            bail!("unknown role {role:?}: expected \"pool\" or \"worker\"")
        }
    }
}

// ANCHOR: proof
fn parent() -> Result<()> {
    // The workers come to this process when their parent is gone.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let mut pool = start("pool")?;
        let mut log = pool.stderr.take().context("no pipe from the pool")?;
        let mut busy = BufReader::new(&mut log).lines();
        for _ in 0..2 {
            assert_eq!(busy.next().context("no word from a worker")??, "busy");
        }
        send(signal, Pid::from_raw(pool.id().try_into()?))?;
        assert_eq!(pool.wait()?.signal(), Some(signal as i32));
        // The pool and all workers hold this pipe: it ends with the last.
        let last_has_ended = hangs_up_within(&log, Duration::from_secs(10))?;
        assert!(last_has_ended, "a worker lives on without its pool");
        println!("{signal} has ended the pool, and no worker survives it");
        reap_the_rest();
    }
    Ok(())
}
// ANCHOR_END: proof

fn send(signal: Signal, pool: Pid) -> Result<()> {
    match signal {
        // What a terminal does at Ctrl-C: the whole group gets it.
        Signal::SIGINT => killpg(pool, signal)?,
        _ => kill(pool, signal)?,
    }
    Ok(())
}

fn hangs_up_within(log: &ChildStderr, limit: Duration) -> Result<bool> {
    let mut ends = [PollFd::new(log.as_fd(), PollFlags::empty())];
    Ok(poll(&mut ends, PollTimeout::try_from(limit)?)? > 0)
}

fn reap_the_rest() {
    while nix::sys::wait::waitpid(None, None).is_ok() {}
}

/// Gives an endless task to each of two workers.
fn pool() -> Result<()> {
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = Command::new(env::current_exe()?)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a worker")?;
        workers.push(worker);
    }
    for worker in &mut workers {
        let tasks = worker.stdin.as_mut().context("no pipe to a worker")?;
        tasks.write_all(b"endless\n")?;
    }
    // Its own lifeline: the tasks never end, so nothing else ends the pool.
    io::copy(&mut io::stdin(), &mut io::sink())?;
    workers
        .iter_mut()
        .try_for_each(|it| it.wait().map(|_| ()))?;
    Ok(())
}

fn worker() -> Result<()> {
    let (sender, tasks) = unbounded();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        process::exit(0);
    });
    let task = tasks.recv().context("no task")?;
    ensure!(task == "endless", "heard {task:?}, expected \"endless\"");
    eprintln!("busy");
    loop {
        thread::park();
    }
}

fn start(role: &str) -> Result<process::Child> {
    Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, as a shell gives to each command.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start the {role}"))
}
// ANCHOR_END: all
