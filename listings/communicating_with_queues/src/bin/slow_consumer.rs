// ANCHOR: all
//! Proves that a consumer that does nothing keeps no more than its credits.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
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

const MESSAGES: usize = 500;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some("idle") => idle(),
        Some("quick") => quick(),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"producer\", \"idle\" or \"quick\""
        ),
    }
}

fn parent() -> Result<()> {
    // ANCHOR: proof
    let (go, give_go) = os_pipe::pipe()?;
    let producers = start("producer", Stdio::inherit())?;
    let mut consumers = start("idle", Stdio::from(go))?;
    consumers
        .0
        .append(&mut start("quick", Stdio::from(give_go))?.0);
    let outcome = broker(producers, consumers)?;
    let by = |who| {
        let answers = outcome.answers.iter();
        answers.filter(|answer| answer.as_str() == who).count()
    };
    assert_eq!(outcome.returned, 0, "somebody has waited for too long");
    assert_eq!((by("quick"), by("idle")), (MESSAGES - CREDITS, CREDITS));
    println!("quick: {} messages, idle: {}", by("quick"), by("idle"));
    // ANCHOR_END: proof
    Ok(())
}

// ANCHOR: consumers
/// Does nothing until the other has answered all but the credits.
fn idle() -> Result<()> {
    let mut go = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    go.read_exact(&mut [0]).context("nobody has said go")?;
    answer_all(|_| "idle".to_owned())
}

fn quick() -> Result<()> {
    let answered = Cell::new(0);
    answer_all(|_| {
        answered.set(answered.get() + 1);
        if answered.get() == MESSAGES - CREDITS {
            let _ = io::stderr().write_all(b"!");
        }
        "quick".to_owned()
    })
}
// ANCHOR_END: consumers

fn start(role: &str, errors: Stdio) -> Result<Crew> {
    let child = Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start the {role} process"))?;
    Ok(Crew(vec![child]))
}

fn producer() -> Result<()> {
    let mut queue = BufWriter::new(io::stdout().lock());
    for number in 0..MESSAGES {
        writeln!(queue, "{number}").context("cannot send a message")?;
    }
    queue.flush().context("cannot send the last messages")
}

// From here on it is the broker of broker_with_credits.rs.

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
// ANCHOR_END: all
