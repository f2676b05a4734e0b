// ANCHOR: all
//! Receives without waiting, with a time limit, and until there is no more.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::Builder;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Sender, bounded};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

fn parent() -> Result<()> {
    let mut producer = Command::new(env::current_exe()?)
        .arg("producer")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the producer")?;
    let received = receive(&mut producer);
    let end = producer.wait();
    received?;
    let end = end.context("cannot wait for the producer")?;
    ensure!(end.success(), "the producer ended with {end}");
    Ok(())
}

// ANCHOR: wait_or_not
fn receive(producer: &mut Child) -> Result<()> {
    let permission = producer.stdin.take();
    let output = producer.stdout.take().context("it has no output")?;
    let (sender, queue) = bounded(4);
    let reader = Builder::new()
        .spawn(move || forward(output, sender))
        .context("cannot start a thread")?;

    println!("try_recv: {:?}", queue.try_recv());
    let limit = Duration::from_millis(20);
    println!("recv_timeout: {:?}", queue.recv_timeout(limit));
    drop(permission);
    for message in &queue {
        println!("received: {message}");
    }
    println!("recv: {:?}", queue.recv());
    reader.join().map_err(|_| anyhow!("the reader panicked"))?
}

fn forward(output: ChildStdout, queue: Sender<String>) -> Result<()> {
    for message in BufReader::new(output).lines() {
        queue.send(message?)?;
    }
    Ok(())
}
// ANCHOR_END: wait_or_not

/// Sends nothing before its input has ended.
fn producer() -> Result<()> {
    io::read_to_string(io::stdin())?;
    for number in 1..=2 {
        let message = format!("a{number}\n");
        io::stdout()
            .write_all(message.as_bytes())
            .context("cannot send")?;
    }
    Ok(())
}
// ANCHOR_END: all
