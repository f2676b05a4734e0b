// ANCHOR: all
//! Solution: keep no sender when the producers are done.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Sender, TryRecvError, bounded};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => in_time(check),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

// ANCHOR: exercise
fn serve(queue: &mut Option<Sender<String>>) -> Result<()> {
    let sender = queue.take().context("no sender is left")?;
    thread::scope(|scope| {
        let threads = [sender.clone(), sender]
            .map(|sender| scope.spawn(move || serve_producer(sender)));
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|_| bail!("a thread panicked"))?;
        }
        Ok(())
    })
}
// ANCHOR_END: exercise

fn serve_producer(queue: Sender<String>) -> Result<()> {
    let mut producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a producer")?;
    let output = producer.stdout.take().context("it has no output")?;
    for message in BufReader::new(output).lines() {
        queue.send(message?)?;
    }
    ensure!(producer.wait()?.success(), "a producer failed");
    Ok(())
}

fn in_time(check: fn() -> Result<()>) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(check()));
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(checked) => checked,
        Err(RecvTimeoutError::Timeout) => {
            bail!("not solved yet: it hangs, no end after ten seconds")
        }
        Err(_) => bail!("not solved yet: it panicked"),
    }
}

fn check() -> Result<()> {
    let (sender, receiver) = bounded(16);
    let mut queue = Some(sender);
    serve(&mut queue)?;
    let mut messages: Vec<_> = receiver.try_iter().collect();
    messages.sort();
    let messages = messages.join(" ");
    ensure!(
        messages == "1 1 2 2 3 3 4 4 5 5",
        "not solved yet: expected 1 to 5 twice, received {messages:?}"
    );
    ensure!(
        receiver.try_recv() == Err(TryRecvError::Disconnected),
        "not solved yet: the channel is empty, but a consumer would wait"
    );
    println!("solved: all ten messages, and the channel is disconnected");
    Ok(())
}

fn producer() -> Result<()> {
    for number in 1..=5 {
        writeln!(io::stdout(), "{number}").context("cannot send")?;
    }
    Ok(())
}
// ANCHOR_END: all
