// ANCHOR: all
//! Keeps each consumer a few messages ahead, and loses none when one is killed.

use std::collections::{HashSet, VecDeque};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{env, io, mem, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use nix::sys::signal::{Signal, raise};

// ANCHOR: credits
const CREDITS: usize = 64;
// All that a consumer may hold fits into its pipe, so sending never waits.
const MAX_MESSAGE: usize = 256;
// What goes from thread to thread at once: a wake-up costs more than a message.
const BATCH: usize = 256;
const BUFFER: usize = 64 * 1024;

struct Consumer {
    input: ChildStdin,
    held: VecDeque<String>,
    // The thread that takes its answers must know how many it owes.
    owes: Arc<AtomicUsize>,
}

enum Report {
    Answers(usize, Vec<String>),
    Gone(usize, String),
}
// ANCHOR_END: credits

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => demonstrate(),
        Some("load") => load(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some("victim") => victim(),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"load\", \"producer\", \"consumer\" or \"victim\""
        ),
    }
}

fn demonstrate() -> Result<()> {
    let victims = ["killed", "leaves", "breaks off", "floods", "babbles"];
    let producers = [["producer", "a", "50"], ["producer", "b", "50"]];
    let mut children = Vec::new();
    for victim in victims {
        children.push(start(&["victim", victim], Stdio::piped())?);
    }
    for _ in 0..2 {
        children.push(start(&["consumer"], Stdio::piped())?);
    }
    let mut sources = Vec::new();
    for arguments in &producers {
        sources.push(start(arguments, Stdio::null())?);
    }
    let outcome = broker(sources, children)?;

    // ANCHOR: proof
    let sent = |name| (0..50).map(move |number| format!("{name}{number}"));
    let expected: HashSet<_> = sent("A").chain(sent("B")).collect();
    assert_eq!(outcome.accepted, expected.len());
    assert_eq!(outcome.answers.len(), expected.len(), "lost or doubled");
    assert!(outcome.answers.iter().all(|it| expected.contains(it)));
    assert!(
        outcome.returned >= victims.len(),
        "each victim held a message"
    );
    // ANCHOR_END: proof
    account(outcome)
}

/// Many messages and a number of consumers: enough to be hit in the middle.
fn load() -> Result<()> {
    let consumers = env::args().nth(2).map_or(Ok(4), |it| it.parse())?;
    let mut children = Vec::new();
    for _ in 0..consumers {
        children.push(start(&["consumer"], Stdio::piped())?);
    }
    let mut sources = Vec::new();
    for name in ["a", "b", "c", "d"] {
        sources.push(start(&["producer", name, "20000"], Stdio::null())?);
    }
    account(broker(sources, children)?)
}

/// Says what became of the messages that the broker has accepted.
fn account(outcome: Outcome) -> Result<()> {
    let Outcome {
        accepted, answers, ..
    } = outcome;
    let mut ends = outcome.consumers;
    ends.sort();
    for end in ends {
        println!("a consumer has ended: {end}");
    }
    let (given, answered) = (answers.len(), HashSet::<_>::from_iter(answers));
    let (lost, doubled) = (
        accepted.saturating_sub(answered.len()),
        given - answered.len(),
    );
    println!(
        "accounted for: {} of {accepted}, lost {lost}, doubled {doubled}",
        answered.len()
    );
    ensure!(lost == 0, "{lost} messages are lost");
    outcome.producers
}

// ANCHOR: broker
struct Outcome {
    accepted: usize,
    answers: Vec<String>,
    returned: usize,
    /// How each ended, in the order of their ends.
    consumers: Vec<String>,
    /// What went wrong with a producer concerns what it has not sent.
    producers: Result<()>,
}

fn broker(producers: Vec<Child>, consumers: Vec<Child>) -> Result<Outcome> {
    let (queue, messages) = bounded(4);
    let (reporter, reports) = unbounded();
    thread::scope(|scope| {
        let mut living = Vec::new();
        for (number, mut child) in consumers.into_iter().enumerate() {
            let input = child.stdin.take().context("it has no input")?;
            let reporter = reporter.clone();
            let owes = Arc::new(AtomicUsize::new(0));
            let owed = Arc::clone(&owes);
            scope.spawn(move || watch(number, child, &owed, reporter));
            living.push(Some(Consumer {
                input,
                held: VecDeque::new(),
                owes,
            }));
        }
        let serve = |child| {
            let queue = queue.clone();
            scope.spawn(move || serve_producer(child, queue))
        };
        let threads: Vec<_> = producers.into_iter().map(serve).collect();
        drop((queue, reporter));
        let mut outcome = dispatch(messages, reports, living)?;
        for thread in threads {
            let served = thread.join().map_err(|_| anyhow!("a panic"))?;
            outcome.producers = outcome.producers.and(served);
        }
        Ok(outcome)
    })
}
// ANCHOR_END: broker

// ANCHOR: dispatch
fn dispatch(
    messages: Receiver<Vec<String>>,
    reports: Receiver<Report>,
    mut consumers: Vec<Option<Consumer>>,
) -> Result<Outcome> {
    let mut outcome = Outcome {
        accepted: 0,
        answers: Vec::new(),
        returned: 0,
        consumers: Vec::new(),
        producers: Ok(()),
    };
    let mut waiting = VecDeque::new();
    let mut open = true;
    loop {
        let living = consumers.iter().flatten().count();
        ensure!(living > 0, "no consumer is left");
        let share = waiting.len().div_ceil(living);
        while let Some(consumer) =
            freest(&mut consumers).filter(|_| !waiting.is_empty())
        {
            let room = CREDITS - consumer.held.len();
            let part = share.min(room).min(waiting.len());
            give(consumer, waiting.drain(..part));
        }
        let done = |consumer: &Consumer| consumer.held.is_empty();
        if !open && waiting.is_empty() && consumers.iter().flatten().all(done) {
            break;
        }

        // Not even looking at the queue is what holds the producers back.
        let source = if open && waiting.is_empty() {
            messages.clone()
        } else {
            never()
        };
        select! {
            recv(source) -> batch => match batch {
                Ok(batch) => {
                    outcome.accepted += batch.len();
                    waiting.extend(batch);
                }
                Err(_) => open = false,
            },
            recv(reports) -> report => match report? {
                Report::Answers(number, answers) => {
                    let consumer = consumers[number].as_mut();
                    let consumer = consumer.context("a dead one answered")?;
                    consumer.held.drain(..answers.len());
                    outcome.answers.extend(answers);
                }
                Report::Gone(number, end) => {
                    let lost = consumers[number].take().context("gone twice")?;
                    outcome.consumers.push(end);
                    outcome.returned += lost.held.len();
                    waiting.extend(lost.held);
                }
            },
        }
    }

    drop(consumers);
    for report in reports {
        let Report::Gone(_, end) = report else {
            bail!("a late answer")
        };
        outcome.consumers.push(end);
    }
    Ok(outcome)
}
// ANCHOR_END: dispatch

// ANCHOR: give
/// The consumer with the fewest messages, if it needs more.
fn freest(consumers: &mut [Option<Consumer>]) -> Option<&mut Consumer> {
    let living = consumers.iter_mut().flatten();
    // Half of the credits at a time: then one write carries several messages.
    living
        .filter(|consumer| consumer.held.len() <= CREDITS / 2)
        .min_by_key(|consumer| consumer.held.len())
}

fn give(consumer: &mut Consumer, messages: impl Iterator<Item = String>) {
    let mut lines = String::new();
    for message in messages {
        lines.push_str(&message);
        lines.push('\n');
        consumer.held.push_back(message);
        consumer.owes.fetch_add(1, SeqCst);
    }
    // An error means that the consumer is gone. Its last report is on the way,
    // and brings back everything it held.
    let _ = consumer.input.write_all(lines.as_bytes());
}
// ANCHOR_END: give

// ANCHOR: watch
fn watch(
    number: usize,
    mut child: Child,
    owed: &AtomicUsize,
    reporter: Sender<Report>,
) {
    let mut broken = None;
    if let Some(output) = child.stdout.take() {
        let report = |answers: Vec<String>| {
            let few = answers.len() <= owed.load(SeqCst);
            ensure!(few, "more answers than messages");
            owed.fetch_sub(answers.len(), SeqCst);
            Ok(reporter.send(Report::Answers(number, answers))?)
        };
        if let Err(error) = read_lines(output, report) {
            // What follows cannot be trusted either.
            let _ = child.kill();
            broken = Some(format!("{error:#}"));
        }
    }
    if let Ok(status) = child.wait() {
        let end = broken.unwrap_or_else(|| status.to_string());
        let _ = reporter.send(Report::Gone(number, end));
    }
}
// ANCHOR_END: watch

// ANCHOR: serve_producer
fn serve_producer(
    mut producer: Child,
    queue: Sender<Vec<String>>,
) -> Result<()> {
    let output = producer.stdout.take().context("it has no output")?;
    let forwarded = read_lines(output, |batch| Ok(queue.send(batch)?));
    let status = producer.wait()?;
    forwarded.context("cannot serve a producer")?;
    ensure!(status.success(), "a producer ended with {status}");
    Ok(())
}
// ANCHOR_END: serve_producer

// ANCHOR: read_lines
/// Takes lines until the end of the pipe. What is there goes on at once, in
/// one batch; what is good goes on even if what follows is broken.
fn read_lines(
    pipe: impl Read,
    mut take: impl FnMut(Vec<String>) -> Result<()>,
) -> Result<()> {
    let mut pipe = BufReader::with_capacity(BUFFER, pipe);
    let mut batch = Vec::new();
    loop {
        let end = match read_line(&mut pipe) {
            Ok(Some(line)) => {
                batch.push(line);
                if batch.len() < BATCH && pipe.buffer().contains(&b'\n') {
                    continue;
                }
                None
            }
            Ok(None) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        if !batch.is_empty() {
            take(mem::take(&mut batch))?;
        }
        if let Some(end) = end {
            return end;
        }
    }
}

fn read_line(pipe: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    pipe.take(MAX_MESSAGE as u64).read_line(&mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    ensure!(
        line.ends_with('\n'),
        "expected a line, received {} bytes without its end",
        line.len()
    );
    line.pop();
    Ok(Some(line))
}
// ANCHOR_END: read_lines

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
    let count = env::args().nth(3).context("a producer needs a count")?;
    let mut queue = BufWriter::new(io::stdout().lock());
    for number in 0..count.parse::<u32>()? {
        writeln!(queue, "{name}{number}").context("cannot send a message")?;
    }
    queue.flush().context("cannot send the last messages")
}

fn consumer() -> Result<()> {
    answer_all(|message| message.to_uppercase())
}

// ANCHOR: answer_all
fn answer_all(answer: impl Fn(&str) -> String) -> Result<()> {
    let mut messages = BufReader::with_capacity(BUFFER, os_pipe::dup_stdin()?);
    let mut answers = BufWriter::with_capacity(BUFFER, os_pipe::dup_stdout()?);
    while let Some(message) = read_line(&mut messages)? {
        writeln!(answers, "{}", answer(&message))?;
        // Nothing more to do: the broker waits for the answers.
        if messages.buffer().is_empty() {
            answers.flush()?;
        }
    }
    Ok(())
}
// ANCHOR_END: answer_all

/// Takes a message and goes wrong before it has answered.
fn victim() -> Result<()> {
    io::stdin().lines().next();
    match env::args().nth(2).as_deref() {
        Some("killed") => raise(Signal::SIGKILL)?,
        Some("leaves") => {}
        Some("breaks off") => print!("half an ans"),
        Some("floods") => print!("{}", "x".repeat(1000)),
        Some("babbles") => print!("{}", "x\n".repeat(CREDITS + 1)),
        how => bail!("unknown way to go wrong: {how:?}"),
    }
    Ok(())
}
// ANCHOR_END: all
