// ANCHOR: all
//! Passes the messages of several producers to several consumers, each once.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, LineWriter, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, Builder};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    match args.next() {
        None => broker(),
        Some(role) if role == "producer" => producer(args.next()),
        Some(role) if role == "consumer" => consumer(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"producer\" or \"consumer\""
        ),
    }
}

fn broker() -> Result<()> {
    // ANCHOR: threads
    let (sender, receiver) = bounded(4);
    let (answer, answers) = unbounded();
    let ends: Vec<(String, Result<()>)> = thread::scope(|scope| {
        let mut threads = Vec::new();
        for name in ["a", "b"] {
            let sender = sender.clone();
            let serve = move || serve_producer(name, sender);
            let thread = Builder::new().spawn_scoped(scope, serve)?;
            threads.push((format!("producer {name}"), thread));
        }
        for _ in 0..3 {
            let (receiver, answer) = (receiver.clone(), answer.clone());
            let serve = move || serve_consumer(receiver, answer);
            let thread = Builder::new().spawn_scoped(scope, serve)?;
            threads.push(("a consumer".to_owned(), thread));
        }
        // The channel is not disconnected while a sender is left: keep none.
        drop((sender, receiver));
        // ANCHOR_END: threads
        let join = |(name, thread): (_, thread::ScopedJoinHandle<_>)| {
            let panicked = |_| Err(anyhow!("its thread panicked"));
            (name, thread.join().unwrap_or_else(panicked))
        };
        anyhow::Ok(threads.into_iter().map(join).collect())
    })
    .context("cannot start a thread")?;

    let mut out = io::stdout();
    let mut failures = Vec::new();
    for (name, end) in ends {
        match end {
            Ok(()) => writeln!(out, "{name} is done")?,
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    let mut answers: Vec<String> = answers.try_iter().collect();
    answers.sort();
    writeln!(out, "answers: {}", answers.join(" "))?;
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn serve_producer(name: &str, queue: Sender<String>) -> Result<()> {
    let mut producer = start(&["producer", name], Stdio::null())?;
    let forwarded = forward(&mut producer, queue);
    finish(producer, forwarded)
}

// ANCHOR: forward
fn forward(producer: &mut Child, queue: Sender<String>) -> Result<()> {
    let output = producer.stdout.take().context("it has no output")?;
    let mut output = BufReader::new(output);
    while let Some(message) = read_line(&mut output)? {
        queue
            .send(message)
            .map_err(|_| anyhow!("no consumer is left"))?;
    }
    Ok(())
}
// ANCHOR_END: forward

fn serve_consumer(
    queue: Receiver<String>,
    answers: Sender<String>,
) -> Result<()> {
    let mut consumer = start(&["consumer"], Stdio::piped())?;
    let fed = feed(&mut consumer, queue, answers);
    finish(consumer, fed)
}

fn feed(
    consumer: &mut Child,
    queue: Receiver<String>,
    answers: Sender<String>,
) -> Result<()> {
    let input = consumer.stdin.take().context("it has no input")?;
    let output = consumer.stdout.take().context("it has no output")?;
    // Sends each line at once: a message left in a buffer gets no answer.
    let mut input = LineWriter::new(input);
    let mut output = BufReader::new(output);
    // ANCHOR: one_message
    for message in queue {
        let lost = || format!("no answer to {message:?}");
        writeln!(input, "{message}").with_context(lost)?;
        let answer = read_line(&mut output).with_context(lost)?;
        answers.send(answer.with_context(lost)?)?;
    }
    // ANCHOR_END: one_message
    Ok(())
}

/// The next line without its end; `None` at the end of the pipe.
fn read_line(pipe: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    pipe.read_line(&mut line)?;
    match line.pop() {
        None => Ok(None),
        Some('\n') => Ok(Some(line)),
        Some(_) => bail!("a line has broken off"),
    }
}

// ANCHOR: finish
/// Waits for the child, whatever has become of its messages.
fn finish(mut child: Child, messages: Result<()>) -> Result<()> {
    if let (Err(_), Ok(None)) = (&messages, child.try_wait()) {
        // It may wait for something that will not come.
        let _ = child.kill();
    }
    let end = match child.wait() {
        Ok(status) if status.success() => return messages,
        Ok(status) => anyhow!("ended with {status}"),
        Err(error) => Error::new(error).context("cannot wait for it"),
    };
    messages.with_context(|| format!("{end:#}"))?;
    Err(end)
}
// ANCHOR_END: finish

fn start(arguments: &[&str], input: Stdio) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start it")
}

fn producer(name: Option<OsString>) -> Result<()> {
    let name = name.context("a producer needs a name")?;
    let mut queue = io::stdout().lock();
    for number in 1..=5 {
        writeln!(queue, "{}{number}", name.display())
            .context("cannot send a message")?;
    }
    Ok(())
}

// ANCHOR: consumer
fn consumer() -> Result<()> {
    let mut messages = io::stdin().lock();
    while let Some(message) = read_line(&mut messages)? {
        writeln!(io::stdout(), "{}", message.to_uppercase())
            .context("cannot answer")?;
    }
    Ok(())
}
// ANCHOR_END: consumer
// ANCHOR_END: all
