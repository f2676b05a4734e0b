// ANCHOR: all
//! Keeps several requests under way, and sends them again if the child dies.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::io::{BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, raise};

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => demonstrate(),
        Some("load") => load(),
        Some("worker") => worker(u32::MAX),
        Some("victim") => worker(100),
        Some(role) => bail!(
            "unknown role {role:?}: \
             expected \"load\", \"worker\" or \"victim\""
        ),
    }
}

fn demonstrate() -> Result<()> {
    // ANCHOR: proof
    let (answers, resent) = ask_all(0..500, &["victim", "worker"])?;
    assert!(answers.len() == 500 && answers.values().all(|&times| times == 1));
    assert!(resent > 0, "the victim left nothing unanswered");
    // ANCHOR_END: proof
    account(500, &answers)
}

/// Enough requests to be hit in the middle.
fn load() -> Result<()> {
    let (answers, _) = ask_all(0..20_000, &["worker", "worker", "worker"])?;
    account(20_000, &answers)
}

/// How often each request was answered.
type Answers = BTreeMap<u32, usize>;

fn account(sent: usize, answers: &Answers) -> Result<()> {
    let doubled = answers.values().filter(|&&times| times > 1).count();
    let (arrived, lost) = (answers.len(), sent - answers.len());
    println!(
        "accounted for: {arrived} of {sent}, lost {lost}, doubled {doubled}"
    );
    ensure!(lost == 0, "{lost} requests have no answer");
    Ok(())
}

// ANCHOR: window
// All that is under way fits into a pipe, so no write ever waits for a read.
const WINDOW: usize = 16;
const MAX_FRAME: usize = 4096 / WINDOW - 4;

/// Asks one child after the other, until all the requests are answered.
fn ask_all(
    requests: impl Iterator<Item = u32>,
    roles: &[&str],
) -> Result<(Answers, usize)> {
    let mut requests = requests.fuse();
    let (mut answers, mut resent) = (Answers::new(), 0);
    let mut unanswered = VecDeque::new();
    for role in roles {
        let mut child = start(role)?;
        let asked = ask(&mut child, &mut requests, &mut unanswered, |number| {
            *answers.entry(number).or_default() += 1;
        });
        if asked.is_err() {
            // It may live on, for example after a broken frame.
            child.kill()?;
        }
        let status = child.wait()?;
        let Err(error) = asked else {
            return Ok((answers, resent));
        };
        println!("{} to send again: {error}: {status}", unanswered.len());
        resent += unanswered.len();
    }
    bail!("{} children died, none is left to ask", roles.len())
}

/// Asks what is still unanswered first. `unanswered` holds, whatever happens,
/// what was sent and has no answer.
fn ask(
    child: &mut Child,
    requests: &mut impl Iterator<Item = u32>,
    unanswered: &mut VecDeque<u32>,
    mut take: impl FnMut(u32),
) -> Result<()> {
    let mut input = child.stdin.take().context("the child has no input")?;
    let output = child.stdout.take().context("the child has no output")?;
    let mut output = BufReader::new(output);
    let mut send = |request: u32| -> Result<()> {
        let frame = frame(&request.to_be_bytes())?;
        // An error means that the child is gone. What it has answered before
        // is still in the other pipe, and after that comes the end of file.
        let _ = input.write_all(&frame);
        Ok(())
    };
    unanswered.iter().copied().try_for_each(&mut send)?;
    loop {
        while unanswered.len() < WINDOW {
            let Some(request) = requests.next() else {
                break;
            };
            unanswered.push_back(request);
            send(request)?;
        }
        let Some(&request) = unanswered.front() else {
            return Ok(());
        };
        let answer = read_frame(&mut output)?.context("the child is gone")?;
        let square = u64::from(request) * u64::from(request);
        ensure!(answer == square.to_be_bytes(), "not the answer");
        unanswered.pop_front();
        take(request);
    }
}
// ANCHOR_END: window

fn start(role: &str) -> Result<Child> {
    Command::new(env::current_exe()?)
        .arg(role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start a {role}"))
}

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
        let request = <[u8; 4]>::try_from(request.as_slice())
            .context("expected a number of 4 bytes")?;
        let number = u64::from(u32::from_be_bytes(request));
        let answer = frame(&(number * number).to_be_bytes())?;
        output.write_all(&answer).context("cannot answer")?;
        done += 1;
    }
    Ok(())
}
// ANCHOR_END: worker

/// A message with its length before it, to go out in one write.
fn frame(message: &[u8]) -> Result<Vec<u8>> {
    let length = message.len();
    ensure!(
        length <= MAX_FRAME,
        "{length} bytes do not fit into a frame"
    );
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend(u32::try_from(length)?.to_be_bytes());
    frame.extend(message);
    Ok(frame)
}

/// Reads one frame, or `None` if the pipe ends where a frame would begin.
fn read_frame(pipe: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut header = Vec::with_capacity(4);
    pipe.by_ref().take(4).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    let Ok(header) = <[u8; 4]>::try_from(header.as_slice()) else {
        bail!("expected a length of 4 bytes, the pipe ended after {header:?}")
    };
    let length = u32::from_be_bytes(header);
    ensure!(
        length as usize <= MAX_FRAME,
        "expected a frame of at most {MAX_FRAME} bytes, not of {length}"
    );
    let mut message = Vec::with_capacity(length as usize);
    let read = pipe
        .by_ref()
        .take(length.into())
        .read_to_end(&mut message)?;
    ensure!(
        read == length as usize,
        "expected a frame of {length} bytes, the pipe ended after {read}"
    );
    Ok(Some(message))
}
// ANCHOR_END: all
