// ANCHOR: all
//! Exercise: end all workers within one deadline.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid,
};
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
use signal_hook::iterator::Signals;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"producer\" or \"consumer\""
        ),
    }
}

// ANCHOR: piece
fn stop_all(workers: &mut [Child], grace: Duration) -> Result<Vec<ExitStatus>> {
    let mut statuses = Vec::new();
    for worker in workers {
        ask(worker)?;
        statuses.push(finish(worker, grace)?);
    }
    Ok(statuses)
}
// ANCHOR_END: piece

fn ask(worker: &Child) -> Result<()> {
    kill_process(Pid::from_child(worker), Signal::TERM)
        .context("cannot send SIGTERM to the worker")
}

fn finish(worker: &mut Child, grace: Duration) -> Result<ExitStatus> {
    if let Some(status) = wait_timeout(worker, grace)? {
        return Ok(status);
    }
    worker.kill().context("cannot kill the worker")?;
    worker.wait().context("cannot wait for the worker")
}

fn wait_timeout(
    child: &mut Child,
    limit: Duration,
) -> Result<Option<ExitStatus>> {
    let id = WaitId::Pid(Pid::from_child(child));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let _ = ended.send(retry_on_intr(|| waitid(id.clone(), options)));
    });
    match end.recv_timeout(limit) {
        Ok(seen) => {
            seen.context("cannot wait for the end of the process")?;
            Ok(Some(child.wait()?))
        }
        Err(_) => Ok(None),
    }
}

fn check() -> Result<()> {
    for order in ["producer first", "consumer first"] {
        let (producer, consumer, output) = start_workers()?;
        let mut workers = [producer, consumer];
        if order == "consumer first" {
            workers.reverse();
        }
        let statuses = stop_all(&mut workers, Duration::from_secs(5))?;
        let stored = io::read_to_string(output)?;
        let ends: Vec<_> = statuses.iter().map(|it| it.to_string()).collect();
        ensure!(
            statuses.iter().all(ExitStatus::success)
                && stored == "stored the last item\n",
            "not solved yet: {order}: {}, the consumer said {stored:?}",
            ends.join(", ")
        );
        println!("{order}: {}", stored.trim_end());
    }
    println!("solved: the order does not matter");
    Ok(())
}

fn start_workers() -> Result<(Child, Child, BufReader<ChildStdout>)> {
    let mut producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the producer")?;
    let items = producer.stdout.take().context("no pipe of items")?;
    let mut consumer = Command::new(env::current_exe()?)
        .arg("consumer")
        .stdin(items)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the consumer")?;
    let output = consumer.stdout.take().context("no pipe to read from")?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(
        line == "ready\n",
        "the consumer said {line:?}, not \"ready\""
    );
    Ok((producer, consumer, output))
}

/// Sends its last item when it is asked to end.
fn producer() -> Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(1);
    });
    println!("ready");
    for _ in signals.forever().take(1) {
        // Fails when the consumer is gone already.
        let _ = writeln!(io::stdout(), "the last item");
    }
    Ok(())
}

/// Stores what it gets, until the producer has ended.
fn consumer() -> Result<()> {
    flag::register(SIGTERM, Arc::default())?;
    for line in io::stdin().lines() {
        match line?.as_str() {
            "ready" => println!("ready"),
            item => println!("stored {item}"),
        }
    }
    Ok(())
}
// ANCHOR_END: all
