// ANCHOR: all
//! Passes the messages of several producers to several consumers, each once.

use std::io::{BufRead, BufReader, LineWriter, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{env, io, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => broker(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"producer\" or \"consumer\""
        ),
    }
}

fn broker() -> Result<()> {
    let (sender, receiver) = bounded(4);
    let mut answers = Vec::new();

    thread::scope(|scope| {
        let producers = ["a", "b"].map(|name| {
            let sender = sender.clone();
            scope.spawn(move || serve_producer(name, sender))
        });
        let consumers = [1, 2, 3].map(|_| {
            let receiver = receiver.clone();
            scope.spawn(move || serve_consumer(receiver))
        });
        // ANCHOR: drop
        // The channel is not disconnected while a sender is left: keep none.
        drop((sender, receiver));
        // ANCHOR_END: drop

        for thread in producers {
            let name = thread.join().map_err(|_| anyhow!("a panic"))??;
            println!("producer {name} is done");
        }
        for thread in consumers {
            answers.extend(thread.join().map_err(|_| anyhow!("a panic"))??);
            println!("a consumer is done");
        }
        anyhow::Ok(())
    })?;

    answers.sort();
    println!("answers: {}", answers.join(" "));
    Ok(())
}

fn serve_producer(name: &str, queue: Sender<String>) -> Result<&str> {
    let mut producer = start(&["producer", name], Stdio::null())?;
    let output = producer
        .stdout
        .take()
        .context("the producer has no output")?;
    let forwarded = forward(output, queue);
    let status = producer.wait()?;
    forwarded.with_context(|| format!("cannot serve producer {name}"))?;
    ensure!(status.success(), "producer {name} ended with {status}");
    Ok(name)
}

// ANCHOR: forward
fn forward(output: ChildStdout, queue: Sender<String>) -> Result<()> {
    for message in BufReader::new(output).lines() {
        queue.send(message?)?;
    }
    Ok(())
}
// ANCHOR_END: forward

fn serve_consumer(queue: Receiver<String>) -> Result<Vec<String>> {
    let mut consumer = start(&["consumer"], Stdio::piped())?;
    let answers = feed(&mut consumer, queue);
    let status = consumer.wait()?;
    let answers = answers.context("cannot serve a consumer")?;
    ensure!(status.success(), "a consumer ended with {status}");
    Ok(answers)
}

fn feed(child: &mut Child, queue: Receiver<String>) -> Result<Vec<String>> {
    let input = child.stdin.take().context("the consumer has no input")?;
    let output = child.stdout.take().context("the consumer has no output")?;
    // Sends each line at once: a message left in a buffer gets no answer.
    let mut input = LineWriter::new(input);
    let mut output = BufReader::new(output);
    let mut answers = Vec::new();
    // ANCHOR: one_message
    for message in queue {
        writeln!(input, "{message}")?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        ensure!(answer.ends_with('\n'), "no answer to {message:?}");
        answer.pop();
        answers.push(answer);
    }
    // ANCHOR_END: one_message
    Ok(answers)
}

fn start(arguments: &[&str], input: Stdio) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start a {}", arguments[0]))
}

fn producer() -> Result<()> {
    let name = env::args().nth(2).context("a producer needs a name")?;
    let mut queue = io::stdout().lock();
    for number in 1..=5 {
        writeln!(queue, "{name}{number}").context("cannot send a message")?;
    }
    Ok(())
}

fn consumer() -> Result<()> {
    let mut answers = io::stdout().lock();
    for message in io::stdin().lines() {
        let message = message.context("cannot read a message")?;
        writeln!(answers, "{}", message.to_uppercase())?;
    }
    Ok(())
}
// ANCHOR_END: all
