// ANCHOR: all
//! Says which producer sent what, and how each producer ended.

use std::env;
use std::io::{self, Write};
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};
use os_pipe::PipeWriter;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some(role) => bail!("unknown role {role:?}: expected \"producer\""),
    }
}

fn parent() -> Result<()> {
    let (reader, queue) = os_pipe::pipe()?;
    let mut producers = Vec::new();
    let started = start(queue, &mut producers);
    let messages = io::read_to_string(reader);
    // ANCHOR: who
    let ends: Vec<_> = producers
        .iter_mut()
        .map(|(name, child)| (*name, child.wait()))
        .collect();

    started?;
    let messages = messages.context("cannot read the queue")?;
    for (name, end) in ends {
        let sender = format!("{name} ");
        let sent: Vec<_> = messages
            .lines()
            .filter_map(|line| line.strip_prefix(&sender))
            .collect();
        let end = end.context("cannot wait for a producer")?;
        println!("{name}: {}, {end}", sent.join(" "));
    }
    // ANCHOR_END: who
    Ok(())
}

fn start(queue: PipeWriter, producers: &mut Vec<(&str, Child)>) -> Result<()> {
    for name in ["a", "b"] {
        let mut producer = Command::new(env::current_exe()?);
        producer.args(["producer", name]).stdout(queue.try_clone()?);
        let producer = producer.spawn().context("cannot start a producer")?;
        producers.push((name, producer));
    }
    Ok(())
}

fn producer() -> Result<()> {
    let name = env::args().nth(2).context("a producer needs a name")?;
    for number in 1..=5 {
        // ANCHOR: killed
        if name == "b" && number == 3 {
            raise(Signal::SIGKILL)?;
        }
        let line = format!("{name} {name}{number}\n");
        // ANCHOR_END: killed
        io::stdout()
            .write_all(line.as_bytes())
            .context("cannot send")?;
    }
    Ok(())
}
// ANCHOR_END: all
