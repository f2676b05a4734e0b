// ANCHOR: all
//! Exercise: end all workers within one deadline.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::SigSet;
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, test_kill_process, waitid,
};
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
use signal_hook::iterator::Signals;

const LIMIT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => check(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some("stubborn") => stubborn(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"producer\", \"consumer\" or \
             \"stubborn\""
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

fn ask(worker: &mut Child) -> Result<()> {
    // Once the worker is reaped, its number may be somebody else's.
    if worker.try_wait()?.is_some() {
        return Ok(());
    }
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
    if let Some(status) = child.try_wait()? {
        return Ok(Some(status));
    }
    let id = WaitId::Pid(Pid::from_child(child));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let (ended, end) = mpsc::channel();
    let watch = move || {
        let _ = ended.send(retry_on_intr(|| waitid(id.clone(), options)));
    };
    if let Err(error) = thread::Builder::new().spawn(watch) {
        // Nobody would notice its end: it gets no grace, and does not stay.
        child.kill().context("cannot kill the worker")?;
        child.wait().context("cannot wait for the worker")?;
        return Err(error).context("cannot start the thread that waits");
    }
    match end.recv_timeout(limit) {
        Ok(seen) => {
            seen.context("cannot wait for the end of the process")?;
            Ok(Some(child.wait()?))
        }
        Err(_) => Ok(None),
    }
}

fn check() -> Result<()> {
    limit_time()?;
    for order in ["producer first", "consumer first"] {
        let (producer, consumer, output) = start_workers()?;
        let mut workers = [producer, consumer];
        if order == "consumer first" {
            workers.reverse();
        }
        let statuses = stop_all(&mut workers, Duration::from_secs(5))?;
        all_are_reaped(&workers)?;
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
    one_grace_for_all()?;
    println!("solved: the order does not matter, and one grace is enough");
    Ok(())
}

fn one_grace_for_all() -> Result<()> {
    let start_one = |_| start_stubborn();
    let mut workers = (0..9).map(start_one).collect::<Result<Vec<_>>>()?;
    // One has ended already, and has been waited for.
    workers[0].kill()?;
    workers[0].wait()?;
    let start = Instant::now();
    stop_all(&mut workers, Duration::from_millis(400))?;
    let took = start.elapsed();
    all_are_reaped(&workers)?;
    ensure!(
        took < Duration::from_secs(3),
        "not solved yet: stubborn workers took {took:?}, not 400 ms"
    );
    Ok(())
}

fn all_are_reaped(workers: &[Child]) -> Result<()> {
    for worker in workers {
        let number = test_kill_process(Pid::from_child(worker));
        ensure!(
            number == Err(Errno::SRCH),
            "not solved yet: a worker has not been waited for"
        );
    }
    Ok(())
}

/// Says so if an answer hangs, and ends.
fn limit_time() -> Result<()> {
    let limit = || {
        thread::sleep(LIMIT);
        let hangs = "Error: not solved yet: it hangs, for 10 seconds now";
        let _ = writeln!(io::stderr(), "{hangs}");
        process::exit(1);
    };
    thread::Builder::new().spawn(limit)?;
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
    // The parent may have been started with signals blocked.
    SigSet::all().thread_unblock()?;
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

/// Takes no notice of SIGTERM.
fn stubborn() -> Result<()> {
    flag::register(SIGTERM, Arc::default())?;
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn start_stubborn() -> Result<Child> {
    let mut worker = Command::new(env::current_exe()?)
        .arg("stubborn")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a stubborn worker")?;
    let output = worker.stdout.take().context("no pipe to read from")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "a worker said {line:?}, not \"ready\"");
    Ok(worker)
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
