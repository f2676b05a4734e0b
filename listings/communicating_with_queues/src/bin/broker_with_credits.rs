// ANCHOR: all
//! Keeps each consumer a few messages ahead, and loses none when one is killed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::{env, io, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use nix::sys::signal::{Signal, raise};

// ANCHOR: credits
const CREDITS: usize = 4;
// All that a consumer may hold fits into its pipe, so sending never waits.
const MAX_MESSAGE: usize = 256;

struct Consumer {
    input: ChildStdin,
    held: VecDeque<String>,
}

enum Report {
    Answer(usize, String),
    Gone(usize, ExitStatus),
}
// ANCHOR_END: credits

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => broker(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some("victim") => victim(),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"producer\", \"consumer\" or \"victim\""
        ),
    }
}

fn broker() -> Result<()> {
    let (queue, messages) = bounded(4);
    let (reporter, reports) = unbounded();
    let (mut answers, returned) = thread::scope(|scope| {
        let mut consumers = Vec::new();
        for role in ["victim", "consumer", "consumer"] {
            let mut child = start(&[role], Stdio::piped())?;
            let input = child.stdin.take().context("it has no input")?;
            let (number, reporter) = (consumers.len(), reporter.clone());
            scope.spawn(move || watch(number, child, reporter));
            consumers.push(Some(Consumer {
                input,
                held: VecDeque::new(),
            }));
        }
        let producers = ["a", "b"].map(|name| {
            let queue = queue.clone();
            scope.spawn(move || serve_producer(name, queue))
        });
        drop((queue, reporter));
        let outcome = dispatch(messages, reports, consumers)?;
        for thread in producers {
            thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        anyhow::Ok(outcome)
    })?;

    // ANCHOR: proof
    answers.sort();
    let sent = |name| (10..60).map(move |number| format!("{name}{number}"));
    let expected: Vec<_> = sent("A").chain(sent("B")).collect();
    assert_eq!(answers, expected);
    assert!(returned > 0, "the victim held nothing");
    println!("{} answers: none lost, none twice", answers.len());
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: dispatch
fn dispatch(
    messages: Receiver<String>,
    reports: Receiver<Report>,
    mut consumers: Vec<Option<Consumer>>,
) -> Result<(Vec<String>, usize)> {
    let mut answers = Vec::new();
    let mut waiting = VecDeque::new();
    let mut returned = 0;
    let mut open = true;
    loop {
        while let Some(consumer) = freest(&mut consumers) {
            let Some(message) = waiting.pop_front() else {
                break;
            };
            give(consumer, message);
        }
        let done = |consumer: &Consumer| consumer.held.is_empty();
        if !open && waiting.is_empty() && consumers.iter().flatten().all(done) {
            break;
        }
        ensure!(consumers.iter().any(Option::is_some), "no consumer is left");

        // Not even looking at the queue is what holds the producers back.
        let room = waiting.is_empty() && freest(&mut consumers).is_some();
        let source = if open && room {
            messages.clone()
        } else {
            never()
        };
        select! {
            recv(source) -> message => match message {
                Ok(message) => waiting.push_back(message),
                Err(_) => open = false,
            },
            recv(reports) -> report => match report? {
                Report::Answer(number, answer) => {
                    let consumer = consumers[number].as_mut();
                    let consumer = consumer.context("a dead one answered")?;
                    consumer.held.pop_front().context("one too many")?;
                    answers.push(answer);
                }
                Report::Gone(number, status) => {
                    let lost = consumers[number].take().context("gone twice")?;
                    println!("a consumer is gone: {status}");
                    returned += lost.held.len();
                    waiting.extend(lost.held);
                }
            },
        }
    }

    drop(consumers);
    for report in reports {
        let Report::Gone(_, status) = report else {
            bail!("a late answer")
        };
        println!("a consumer is done: {status}");
    }
    Ok((answers, returned))
}
// ANCHOR_END: dispatch

// ANCHOR: give
fn freest(consumers: &mut [Option<Consumer>]) -> Option<&mut Consumer> {
    let living = consumers.iter_mut().flatten();
    living
        .filter(|consumer| consumer.held.len() < CREDITS)
        .min_by_key(|consumer| consumer.held.len())
}

fn give(consumer: &mut Consumer, message: String) {
    // An error means that the consumer is gone. Its last report is on the way,
    // and brings back everything it held.
    let _ = consumer.input.write_all(format!("{message}\n").as_bytes());
    consumer.held.push_back(message);
}
// ANCHOR_END: give

// ANCHOR: watch
fn watch(number: usize, mut child: Child, reporter: Sender<Report>) {
    let mut output = child.stdout.take().map(BufReader::new);
    loop {
        match output.as_mut().map_or(Ok(None), read_line) {
            Ok(Some(answer)) => {
                let _ = reporter.send(Report::Answer(number, answer));
            }
            Ok(None) => break,
            // What follows a broken answer cannot be trusted.
            Err(_) => {
                let _ = child.kill();
                break;
            }
        }
    }
    if let Ok(status) = child.wait() {
        let _ = reporter.send(Report::Gone(number, status));
    }
}
// ANCHOR_END: watch

fn serve_producer(name: &str, queue: Sender<String>) -> Result<()> {
    let mut producer = start(&["producer", name], Stdio::null())?;
    let forwarded = forward(&mut producer, queue);
    let status = producer.wait()?;
    forwarded.with_context(|| format!("cannot serve producer {name}"))?;
    ensure!(status.success(), "producer {name} ended with {status}");
    Ok(())
}

fn forward(producer: &mut Child, queue: Sender<String>) -> Result<()> {
    let output = producer.stdout.take().context("it has no output")?;
    let mut output = BufReader::new(output);
    while let Some(message) = read_line(&mut output)? {
        queue.send(message)?;
    }
    Ok(())
}

// ANCHOR: read_line
fn read_line(pipe: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    pipe.take(MAX_MESSAGE as u64).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    ensure!(line.ends_with('\n'), "expected a line, received {line:?}");
    line.pop();
    Ok(Some(line))
}
// ANCHOR_END: read_line

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
    for number in 10..60 {
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

// ANCHOR: victim
/// Takes a message and is killed before it can answer.
fn victim() -> Result<()> {
    if io::stdin().lines().next().is_some() {
        raise(Signal::SIGKILL)?;
    }
    Ok(())
}
// ANCHOR_END: victim
// ANCHOR_END: all
