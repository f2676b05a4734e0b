// ANCHOR: all
//! Keeps each consumer a few messages ahead, and loses none when one fails.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};
use std::{env, mem};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use crossbeam_channel::{after, bounded, never, select, unbounded};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

// ANCHOR: credits
/// A consumer holds at most so many messages,
const CREDITS: usize = 64;
/// and answers the next of them, or ends after the last, in this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A message with which so many consumers have ended is set aside.
const MOST_ENDS: usize = 3;
/// A message or answer has at most so many bytes, its end of line included.
const MAX_LINE: usize = 64 * 1024;
// After so long a silence somebody looks after the process.
const PAUSE: Duration = Duration::from_millis(100);
// What is there goes from thread to thread at once: a wake-up is expensive.
const BUFFER: usize = 64 * 1024;

struct Message {
    text: String,
    // How many consumers have ended while they held it.
    ends: usize,
}

struct Consumer {
    input: ChildStdin,
    // What the pipe had no room for.
    unsent: VecDeque<u8>,
    held: VecDeque<Message>,
    // The thread that takes its answers must know how many it owes.
    owes: Arc<AtomicUsize>,
}

enum Report {
    Answers(usize, Vec<String>),
    Gone(usize, Result<ExitStatus>),
}

/// What has become of the messages, and how each process ended.
#[derive(Default)]
struct Outcome {
    accepted: usize,
    answers: Vec<String>,
    returned: usize,
    set_aside: Vec<String>,
    unanswered: Vec<String>,
    consumers: Vec<Result<ExitStatus>>,
    producers: Vec<Result<ExitStatus>>,
}
// ANCHOR_END: credits

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1);
    match args.next() {
        None => demonstrate(),
        Some(role) if role == "load" => load(args.next()),
        Some(role) if role == "producer" => producer(args.next(), args.next()),
        Some(role) if role == "consumer" => consumer(),
        Some(role) if role == "victim" => victim(args.next()),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"load\", \"producer\", \
             \"consumer\" or \"victim\""
        ),
    }
}

// ANCHOR: proof
fn demonstrate() -> Result<()> {
    let victims = ["killed", "leaves", "breaks off", "floods", "babbles"];
    let mut consumers = victims.map(|how| vec!["victim", how]).to_vec();
    consumers.extend([vec!["consumer"], vec!["consumer"]]);
    let producers = ["a", "b"].map(|name| vec!["producer", name, "50"]);
    let outcome = broker(start(&producers)?, start(&consumers)?)?;
    let sent = |name| (0..50).map(move |number| format!("{name}{number}"));
    let expected: HashSet<_> = sent("A").chain(sent("B")).collect();
    assert_eq!(outcome.answers.len(), expected.len(), "lost or doubled");
    assert_eq!(set(&outcome.answers), expected, "one for another");
    assert!(outcome.returned >= 5, "each victim held a message");
    account(outcome)?;

    // The message c7 ends whoever takes it.
    let producers = start(&[vec!["producer", "c", "20"]])?;
    let consumers = start(&vec![vec!["victim", "of c7"]; 5])?;
    let outcome = broker(producers, consumers)?;
    let expected = (0..20).filter(|&it| it != 7).map(|it| format!("C{it}"));
    assert_eq!(outcome.set_aside, ["c7"]);
    assert_eq!(outcome.answers.len(), 19, "lost or doubled");
    assert_eq!(set(&outcome.answers), expected.collect(), "one for another");
    account(outcome)
}
// ANCHOR_END: proof

fn set(answers: &[String]) -> HashSet<String> {
    answers.iter().cloned().collect()
}

/// Many messages and a number of consumers: enough to be hit in the middle.
fn load(consumers: Option<OsString>) -> Result<()> {
    let consumers = consumers.map_or(Ok(4), number)?;
    let names = ["a", "b", "c", "d"];
    let producers = start(&names.map(|name| vec!["producer", name, "20000"]))?;
    let consumers = start(&vec![vec!["consumer"]; consumers])?;
    account(broker(producers, consumers)?)
}

/// Says what became of the messages, then what went wrong.
fn account(outcome: Outcome) -> Result<()> {
    let mut out = io::stdout();
    let said = |end: Result<ExitStatus>| match end {
        Ok(status) => status.to_string(),
        Err(error) => format!("{error:#}"),
    };
    let mut ends: Vec<_> = outcome.consumers.into_iter().map(said).collect();
    ends.sort();
    for end in ends {
        writeln!(out, "a consumer has ended: {end}")?;
    }
    for message in &outcome.set_aside {
        writeln!(out, "set aside: {message}")?;
    }
    let answered = HashSet::<_>::from_iter(&outcome.answers).len();
    let (all, unanswered) = (outcome.accepted, outcome.unanswered.len());
    let known = answered + outcome.set_aside.len() + unanswered;
    let (lost, doubled) =
        (all.saturating_sub(known), outcome.answers.len() - answered);
    writeln!(
        out,
        "accounted for: {known} of {all}, lost {lost}, doubled {doubled}"
    )?;
    let mut faults = Vec::new();
    if unanswered > 0 {
        faults.push(format!("{unanswered} messages are unanswered"));
    }
    for end in outcome.producers.into_iter().map(said) {
        if end != "exit status: 0" {
            faults.push(format!("a producer has ended: {end}"));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

// ANCHOR: broker
fn broker(mut producers: Crew, mut consumers: Crew) -> Result<Outcome> {
    thread::scope(|scope| {
        let (queue, messages) = bounded(4);
        let (reporter, reports) = unbounded();
        // Carries nothing: it is disconnected when all is over.
        let (going_on, over) = bounded::<()>(0);
        let mut living = Vec::new();
        for (number, child) in consumers.0.iter_mut().enumerate() {
            let input = child.stdin.take().context("it has no input")?;
            // The flag is that of this end: the consumer's reads still wait.
            fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .context("cannot make a consumer's input non-blocking")?;
            let owes = Arc::new(AtomicUsize::new(0));
            let (owed, reporter) = (Arc::clone(&owes), reporter.clone());
            let watch = move || watch(number, child, &owed, &reporter);
            Builder::new()
                .spawn_scoped(scope, watch)
                .context("cannot start a thread")?;
            living.push(Some(Consumer {
                input,
                unsent: VecDeque::new(),
                held: VecDeque::new(),
                owes,
            }));
        }
        let mut threads = Vec::new();
        for child in &mut producers.0 {
            let (queue, over) = (queue.clone(), over.clone());
            let serve = move || serve_producer(child, queue, &over);
            let thread = Builder::new().spawn_scoped(scope, serve);
            threads.push(thread.context("cannot start a thread")?);
        }
        drop((queue, reporter));
        let mut outcome = dispatch(messages, reports, living);
        drop(going_on);
        for thread in threads {
            let panicked = |_| Err(anyhow!("its thread panicked"));
            let end = thread.join().unwrap_or_else(panicked);
            outcome.producers.push(end);
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
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut waiting = VecDeque::new();
    let mut open = true;
    while consumers.iter().any(Option::is_some) {
        hand_out(&mut consumers, &mut waiting);
        consumers.iter_mut().flatten().for_each(send);
        let mut living = consumers.iter().flatten();
        let done = living.all(|consumer| consumer.held.is_empty());
        if !open && waiting.is_empty() && done {
            break;
        }

        // Not even looking at the queue is what holds the producers back.
        let source = match open && waiting.is_empty() {
            true => messages.clone(),
            false => never(),
        };
        // A consumer that has read half a message makes room, but no news.
        let mut living = consumers.iter().flatten();
        let try_again = match living.all(|it| it.unsent.is_empty()) {
            true => never(),
            false => after(Duration::from_millis(1)),
        };
        select! {
            recv(try_again) -> _ => {}
            recv(source) -> batch => match batch {
                Ok(batch) => {
                    outcome.accepted += batch.len();
                    let new = |text| Message { text, ends: 0 };
                    waiting.extend(batch.into_iter().map(new));
                }
                Err(_) => open = false,
            },
            recv(reports) -> report => match report {
                Ok(Report::Answers(number, answers)) => {
                    if let Some(consumer) = &mut consumers[number] {
                        consumer.held.drain(..answers.len());
                    }
                    outcome.answers.extend(answers);
                }
                Ok(Report::Gone(number, end)) => {
                    outcome.consumers.push(end);
                    let held = consumers[number].take().map(|it| it.held);
                    for mut message in held.into_iter().flatten().rev() {
                        outcome.returned += 1;
                        message.ends += 1;
                        match message.ends < MOST_ENDS {
                            true => waiting.push_front(message),
                            false => outcome.set_aside.push(message.text),
                        }
                    }
                }
                Err(_) => break,
            },
        }
    }

    // The end of their input tells the consumers that there is no more. What
    // each owes now is its own end.
    for consumer in consumers.iter().flatten() {
        consumer.owes.fetch_add(1, SeqCst);
    }
    drop(consumers);
    for report in reports {
        if let Report::Gone(_, end) = report {
            outcome.consumers.push(end);
        }
    }
    let texts = waiting.into_iter().map(|message| message.text);
    outcome.unanswered = texts.collect();
    outcome
}
// ANCHOR_END: dispatch

// ANCHOR: give
fn hand_out(
    consumers: &mut [Option<Consumer>],
    waiting: &mut VecDeque<Message>,
) {
    let share = waiting.len().div_ceil(consumers.iter().flatten().count());
    while let Some(consumer) = freest(consumers) {
        let room = CREDITS - consumer.held.len();
        let part = match waiting.front() {
            // Alone: if this consumer ends as well, it is due to the message.
            Some(suspect) if suspect.ends > 0 => {
                usize::from(consumer.held.is_empty())
            }
            _ => share.min(room).min(waiting.len()),
        };
        if part == 0 {
            break;
        }
        give(consumer, waiting.drain(..part));
    }
}

/// The consumer with the fewest messages, if it may have more.
fn freest(consumers: &mut [Option<Consumer>]) -> Option<&mut Consumer> {
    let living = consumers.iter_mut().flatten();
    // Half of the credits at a time: then one write carries several messages.
    let needs = |it: &&mut Consumer| {
        it.held.len() <= CREDITS / 2 && it.held.iter().all(|it| it.ends == 0)
    };
    living.filter(needs).min_by_key(|it| it.held.len())
}

fn give(consumer: &mut Consumer, messages: impl Iterator<Item = Message>) {
    for message in messages {
        consumer.unsent.extend(message.text.as_bytes());
        consumer.unsent.push_back(b'\n');
        consumer.held.push_back(message);
        consumer.owes.fetch_add(1, SeqCst);
    }
}

/// Writes what the pipe has room for, and does not wait for more.
fn send(consumer: &mut Consumer) {
    while !consumer.unsent.is_empty() {
        match consumer.input.write(consumer.unsent.as_slices().0) {
            Ok(length) => drop(consumer.unsent.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // The consumer is gone. Its last report is on the way, and brings
            // back everything it held.
            Err(_) => consumer.unsent.clear(),
        }
    }
}
// ANCHOR_END: give

// ANCHOR: watch
fn watch(
    number: usize,
    child: &mut Child,
    owed: &AtomicUsize,
    reporter: &Sender<Report>,
) {
    let silence = Cell::new(Duration::ZERO);
    let patient = |waited| {
        let owes = owed.load(SeqCst) > 0;
        // Adding up waits forgives the time in which all were stopped.
        silence.set(if owes {
            silence.get() + waited
        } else {
            Duration::ZERO
        });
        let late = silence.get() > PATIENCE;
        ensure!(!late, "no answer within {PATIENCE:?}");
        Ok(())
    };
    let report = |answers: Vec<String>| {
        silence.set(Duration::ZERO);
        let few = answers.len() <= owed.load(SeqCst);
        ensure!(few, "more answers than messages");
        owed.fetch_sub(answers.len(), SeqCst);
        Ok(reporter.send(Report::Answers(number, answers))?)
    };
    let end = follow(child, patient, report);
    let _ = reporter.send(Report::Gone(number, end));
}
// ANCHOR_END: watch

// ANCHOR: serve_producer
fn serve_producer(
    child: &mut Child,
    queue: Sender<Vec<String>>,
    over: &Receiver<()>,
) -> Result<ExitStatus> {
    let patient = |_| {
        let over = over.try_recv() == Err(TryRecvError::Disconnected);
        ensure!(!over, "no consumer is left");
        Ok(())
    };
    let forward = move |batch| {
        let sent = queue.send(batch);
        sent.map_err(|_| anyhow!("no consumer is left"))
    };
    follow(child, patient, forward)
}
// ANCHOR_END: serve_producer

// ANCHOR: follow
/// Takes the lines of a child, then waits for its end. If anything is wrong
/// with its lines, the child must end at once.
fn follow(
    child: &mut Child,
    patient: impl FnMut(Duration) -> Result<()>,
    take: impl FnMut(Vec<String>) -> Result<()>,
) -> Result<ExitStatus> {
    let pipe = child.stdout.take().context("it has no output")?;
    let output = Output(child, pipe, patient);
    match read_lines(output, take) {
        Ok(()) => end(child, PATIENCE),
        Err(error) => match end(child, PAUSE) {
            Ok(status) if !status.success() => Err(error.context(status)),
            _ => Err(error),
        },
    }
}

/// The lines of a child. They end with it, even if a child of its own holds
/// the pipe. After each wait, which is a pause at most, the last part says
/// whether to go on.
struct Output<'a, F>(&'a mut Child, ChildStdout, F);

impl<F: FnMut(Duration) -> Result<()>> Read for Output<'_, F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Output(child, pipe, patient) = self;
        let mut ended = false;
        loop {
            let began = Instant::now();
            let is_readable = is_readable(pipe)?;
            if ended && !is_readable {
                return Ok(0);
            }
            let waited = began.elapsed().min(PAUSE);
            patient(waited).map_err(io::Error::other)?;
            if is_readable {
                return pipe.read(bytes);
            }
            // What it wrote before its end is in the pipe: look once more.
            ended = !matches!(child.try_wait(), Ok(None));
        }
    }
}

/// Whether there is something to read, or the end, within a pause.
fn is_readable(pipe: &ChildStdout) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        let left = PAUSE.saturating_sub(began.elapsed()).as_micros();
        let left = u16::try_from(left.div_ceil(1000)).unwrap_or(u16::MAX);
        let mut ends = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ends, PollTimeout::from(left)) {
            Err(Errno::EINTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}
// ANCHOR_END: follow

// ANCHOR: crew
/// Processes, none of which outlives this.
#[derive(Default)]
struct Crew(Vec<Child>);

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = end(child, Duration::ZERO);
        }
    }
}

fn end(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let began = Instant::now();
    loop {
        let status = child.try_wait().context("cannot wait for it")?;
        match status {
            Some(status) => return Ok(status),
            None if began.elapsed() >= limit => break,
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
    child.kill().context("cannot kill it")?;
    child.wait().context("cannot wait for it")?;
    bail!("killed: it did not end within {limit:?}")
}
// ANCHOR_END: crew

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
        let line = read_line(&mut pipe);
        let is_last = !matches!(line, Ok(Some(_)));
        let end = line.map(|line| batch.extend(line));
        if is_last || !pipe.buffer().contains(&b'\n') {
            take(mem::take(&mut batch))?;
        }
        if is_last {
            return end;
        }
    }
}

fn read_line(pipe: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    pipe.take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    let length = line.len();
    if line.pop_if(|last| *last == b'\n').is_some() {
        let line = String::from_utf8(line).context("a line is not text")?;
        return Ok(Some(line));
    }
    ensure!(length < MAX_LINE, "a line has more than {MAX_LINE} bytes");
    ensure!(length == 0, "a line has broken off after {length} bytes");
    Ok(None)
}
// ANCHOR_END: read_lines

fn start(roles: &[Vec<&str>]) -> Result<Crew> {
    let mut crew = Crew::default();
    for arguments in roles {
        let child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start a {}", arguments[0]))?;
        crew.0.push(child);
    }
    Ok(crew)
}

fn number(argument: OsString) -> Result<usize> {
    let number = argument.to_str().and_then(|it| it.parse().ok());
    number.with_context(|| format!("expected a number, not {argument:?}"))
}

fn producer(name: Option<OsString>, count: Option<OsString>) -> Result<()> {
    let name = name.context("a producer needs a name")?;
    let count = number(count.context("a producer needs a count")?)?;
    let mut queue = BufWriter::new(io::stdout().lock());
    for number in 0..count {
        writeln!(queue, "{}{number}", name.display())
            .context("cannot send a message")?;
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
    let mut flushed = Instant::now();
    while let Some(message) = read_line(&mut messages)? {
        writeln!(answers, "{}", answer(&message))?;
        // Nothing more to do, or slow work: the broker waits for the answers.
        let is_last = !messages.buffer().contains(&b'\n');
        if is_last || flushed.elapsed() > PAUSE {
            answers.flush()?;
            flushed = Instant::now();
        }
    }
    Ok(())
}
// ANCHOR_END: answer_all

/// Takes a message and goes wrong before it has answered.
fn victim(how: Option<OsString>) -> Result<()> {
    let how = how.context("a victim needs a way to go wrong")?;
    let dies = |message: &str| match message {
        "c7" => format!("{:?}", raise(Signal::SIGKILL)),
        _ => message.to_uppercase(),
    };
    if how == "of c7" {
        return answer_all(dies);
    }
    io::stdin().lines().next();
    let mut answers = os_pipe::dup_stdout()?;
    match how.to_str() {
        Some("killed") => raise(Signal::SIGKILL)?,
        Some("leaves") => {}
        Some("breaks off") => answers.write_all(b"half an ans")?,
        // The broker does not read to the end.
        Some("floods") => drop(answers.write_all(&[b'x'; 2 * MAX_LINE])),
        Some("babbles") => answers.write_all(&[b'\n'; CREDITS + 1])?,
        _ => bail!("unknown way to go wrong: {how:?}"),
    }
    Ok(())
}
// ANCHOR_END: all
