// ANCHOR: all
//! Keeps several requests under way, and sends them again if the child dies.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, raise, signal};

fn main() -> Result<()> {
    heed_children()?;
    match env::args_os().nth(1) {
        None => demonstrate(),
        Some(role) if role == "load" => load(),
        Some(role) if role == "worker" => worker(u32::MAX),
        Some(role) if role == "victim" => worker(100),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"load\", \"worker\" or \"victim\""
        ),
    }
}

fn demonstrate() -> Result<()> {
    // ANCHOR: proof
    let outcome = ask_all(0..500, &["victim", "worker"]);
    account(500, &outcome)?;
    let killed = |failure: &String| failure.starts_with("victim: signal: 9 ");
    ensure!(outcome.failures.iter().any(killed), "no victim was killed");
    assert!(outcome.resent > 0, "the victim left nothing unanswered");
    // None is missing, and none came twice.
    assert_eq!(outcome.arrived, 500);
    assert!(outcome.answers.keys().copied().eq(0..500));
    // ANCHOR_END: proof
    Ok(())
}

/// Enough requests to be hit in the middle.
fn load() -> Result<()> {
    let outcome = ask_all(0..20_000, &["worker", "worker", "worker"]);
    account(20_000, &outcome)
}

fn account(sent: usize, outcome: &Outcome) -> Result<()> {
    let answered = outcome.answers.len();
    let (lost, doubled) = (sent - answered, outcome.arrived - answered);
    let printed = writeln!(
        io::stdout(),
        "accounted for: {answered} of {sent}, lost {lost}, doubled {doubled}"
    );
    let why = outcome.failures.join("; ");
    ensure!(lost == 0, "{lost} requests have no answer: {why}");
    printed.context("cannot print")
}

// ANCHOR: window
/// All that is under way fits into a pipe, so no write ever waits for a read.
const WINDOW: usize = 16;
const MAX_FRAME: u32 = 4096 / WINDOW as u32 - 4;
/// How long a child may be silent while it has a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// What has become of the requests. It is never lost, whatever goes wrong.
#[derive(Default)]
struct Outcome {
    answers: BTreeMap<u32, u64>,
    /// How many answers were received, those that came twice included.
    arrived: usize,
    /// Sent, at least once, and not answered.
    unanswered: VecDeque<u32>,
    /// How many requests were sent once more.
    resent: usize,
    /// Why each child that failed did so.
    failures: Vec<String>,
}

/// Asks one child after the other, until all the requests are answered.
fn ask_all(requests: impl Iterator<Item = u32>, roles: &[&str]) -> Outcome {
    let mut requests = requests.peekable();
    let mut outcome = Outcome::default();
    for role in roles {
        if outcome.unanswered.is_empty() && requests.peek().is_none() {
            break;
        }
        outcome.resent += outcome.unanswered.len();
        if let Err(error) = ask_one(role, &mut requests, &mut outcome) {
            let failure = format!("{role}: {error:#}");
            let again = outcome.unanswered.len();
            // Said before the next child is started, which may fail as well.
            let _ = writeln!(io::stderr(), "{failure}: {again} to send again");
            outcome.failures.push(failure);
        }
    }
    outcome
}

fn ask_one(
    role: &str,
    requests: &mut impl Iterator<Item = u32>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut child = start(role)?;
    let asked = ask(&mut child, requests, outcome);
    if asked.is_err() {
        // It may live on, for example after a broken frame. An error means
        // that it does not.
        let _ = child.kill();
    }
    match child.wait() {
        Ok(status) => {
            asked.with_context(|| status.to_string())?;
            ensure!(status.success(), "{status}");
            Ok(())
        }
        Err(error) => asked.and(Err(error).context("cannot wait for it")),
    }
}

/// Asks what is still unanswered first.
fn ask(
    child: &mut Child,
    requests: &mut impl Iterator<Item = u32>,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut input = child.stdin.take().context("the child has no input")?;
    let output = child.stdout.take().context("the child has no output")?;
    let mut output = BufReader::new(Timed::new(output));
    let mut send = |request: u32| -> Result<()> {
        let frame = frame(&request.to_be_bytes())?;
        // An error means that the child is gone. What it has answered before
        // is still in the other pipe, and after that comes the end of file.
        let _ = input.write_all(&frame);
        Ok(())
    };
    let unanswered = &mut outcome.unanswered;
    unanswered.iter().copied().try_for_each(&mut send)?;
    loop {
        while unanswered.len() < WINDOW {
            let Some(request) = requests.next() else {
                break;
            };
            unanswered.push_back(request);
            send(request)?;
        }
        if unanswered.is_empty() {
            return Ok(());
        }
        output.get_mut().until = Instant::now().checked_add(PATIENCE);
        let answer = read_frame(&mut output)?.context("no answer")?;
        let (request, answer) = understood(&answer)?;
        outcome.arrived += 1;
        outcome.answers.insert(request, answer);
        let at = unanswered.iter().position(|&it| it == request);
        unanswered.remove(at.context("an answer that nobody waits for")?);
    }
}
// ANCHOR_END: window

/// Each answer names its request, so that none is taken for another's.
fn understood(answer: &[u8]) -> Result<(u32, u64)> {
    let (request, square) = answer
        .split_first_chunk()
        .context("expected a number of 4 bytes")?;
    let request = u32::from_be_bytes(*request);
    let expected = u64::from(request).pow(2);
    ensure!(square == expected.to_be_bytes(), "not a square");
    Ok((request, expected))
}

// ANCHOR: timed
/// A pipe whose reads wait until a moment, and not longer. `None` is a moment
/// further away than any clock shows: no deadline.
struct Timed {
    pipe: ChildStdout,
    until: Option<Instant>,
}

impl Timed {
    fn new(pipe: ChildStdout) -> Timed {
        let until = Some(Instant::now());
        Timed { pipe, until }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.map_or(Duration::MAX, |until| {
                until.saturating_duration_since(Instant::now())
            });
            // Rounded up, or the last millisecond would be no wait at all.
            let left = left.as_nanos().div_ceil(1_000_000);
            let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ends = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ends, wait) {
                Ok(0) if left == 0 => return Err(ErrorKind::TimedOut.into()),
                // A signal ends a poll: wait for the rest of the time.
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return self.pipe.read(buffer),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
// ANCHOR_END: timed

// ANCHOR: start
fn start(role: &str) -> Result<Child> {
    let program = this_program()?;
    Command::new(&program)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// This program, even if its file has been replaced since it was started.
fn this_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok(PathBuf::from("/proc/self/exe")),
        false => env::current_exe(),
    }
}

/// Whoever starts a program may have it ignore SIGCHLD. Then the kernel would
/// leave nothing of a child to wait for.
fn heed_children() -> Result<()> {
    // SAFETY: the default action runs no code of this process.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }
        .context("cannot heed SIGCHLD")?;
    Ok(())
}
// ANCHOR_END: start

// ANCHOR: worker
/// Squares numbers, and is killed if there are more of them than it bears.
fn worker(bears: u32) -> Result<()> {
    let mut input = BufReader::new(os_pipe::dup_stdin()?);
    let mut output = os_pipe::dup_stdout()?;
    let mut done = 0;
    while let Some(request) = read_frame(&mut input)? {
        if done == bears {
            raise(Signal::SIGKILL)?;
        }
        let number = <[u8; 4]>::try_from(request.as_slice())
            .context("expected a number of 4 bytes")?;
        let square = u64::from(u32::from_be_bytes(number)).pow(2);
        let answer = [&request[..], &square.to_be_bytes()].concat();
        output
            .write_all(&frame(&answer)?)
            .context("cannot answer")?;
        done += 1;
    }
    Ok(())
}
// ANCHOR_END: worker

/// A message with its length before it, to go out in one write.
fn frame(message: &[u8]) -> Result<Vec<u8>> {
    let length = frame_length(message)?;
    Ok([&length.to_be_bytes(), message].concat())
}

fn frame_length(message: &[u8]) -> Result<u32> {
    let length = message.len();
    match u32::try_from(length) {
        Ok(short) if short <= MAX_FRAME => Ok(short),
        _ => bail!("{length} bytes are over a frame's limit of {MAX_FRAME}"),
    }
}

/// Reads one frame, or `None` if the pipe ends where a frame would begin.
fn read_frame(pipe: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut header = Vec::with_capacity(4);
    pipe.by_ref()
        .take(4)
        .read_to_end(&mut header)
        .context("cannot read a length")?;
    if header.is_empty() {
        return Ok(None);
    }
    let Ok(header) = <[u8; 4]>::try_from(header.as_slice()) else {
        bail!("expected a length of 4 bytes, the pipe ended after {header:?}")
    };
    let length = u32::from_be_bytes(header);
    ensure!(
        length <= MAX_FRAME,
        "expected a frame of at most {MAX_FRAME} bytes, not of {length}"
    );
    let mut message = Vec::with_capacity(length as usize);
    let read = pipe
        .by_ref()
        .take(length.into())
        .read_to_end(&mut message)
        .context("cannot read a message")?;
    ensure!(
        read == length as usize,
        "expected a frame of {length} bytes, the pipe ended after {read}"
    );
    Ok(Some(message))
}
// ANCHOR_END: all
