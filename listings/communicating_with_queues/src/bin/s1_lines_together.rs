// ANCHOR: all
//! Two producers put lines into one pipe, and the parent gets them all.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command};

use anyhow::{Context, Result, bail, ensure};
use os_pipe::PipeWriter;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

// ANCHOR: together
fn parent() -> Result<()> {
    let (reader, queue) = os_pipe::pipe()?;
    let mut producers = Vec::new();
    let started = start(queue, &mut producers);
    let messages = io::read_to_string(reader);
    let ends: Vec<_> = producers.iter_mut().map(Child::wait).collect();

    started?;
    for end in ends {
        let end = end.context("cannot wait for a producer")?;
        ensure!(end.success(), "a producer ended with {end}");
    }
    let messages = messages.context("cannot read the queue")?;
    let mut messages: Vec<&str> = messages.lines().collect();
    messages.sort();
    println!("received: {}", messages.join(" "));
    Ok(())
}

fn start(queue: PipeWriter, producers: &mut Vec<Child>) -> Result<()> {
    for name in ["a", "b"] {
        let mut producer = Command::new(env::current_exe()?);
        producer.args(["producer", name]).stdout(queue.try_clone()?);
        producers.push(producer.spawn().context("cannot start a producer")?);
    }
    Ok(())
}
// ANCHOR_END: together

// ANCHOR: line
fn producer() -> Result<()> {
    let name = env::args().nth(2).context("a producer needs a name")?;
    for number in 1..=5 {
        let message = format!("{name}{number}\n");
        io::stdout()
            .write_all(message.as_bytes())
            .context("cannot send")?;
    }
    Ok(())
}
// ANCHOR_END: line
// ANCHOR_END: all
