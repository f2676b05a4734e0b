// ANCHOR: all
//! Shares one pipe of records of a fixed size among all processes.

use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
#[cfg(target_os = "linux")]
use nix::fcntl::{FcntlArg, fcntl};
use os_pipe::{PipeReader, PipeWriter};

// ANCHOR: record
const RECORD: usize = 64;
type Record = [u8; RECORD];

// A write of at most this many bytes is never mixed with another.
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };
// ANCHOR_END: record

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("producer") => producer(),
        Some("consumer") => consumer(),
        Some(role) => bail!(
            "unknown role {role:?}: expected \"producer\" or \"consumer\""
        ),
    }
}

fn parent() -> Result<()> {
    let mut children = Vec::new();
    let mut answers = String::new();
    // If not all can be started, the others meet the end of the queue.
    let read = start_all(&mut children)
        .and_then(|mut results| Ok(results.read_to_string(&mut answers)?));
    let statuses: Vec<_> = children.iter_mut().map(Child::wait).collect();
    read?;
    for status in statuses {
        let status = status.context("cannot wait for a child")?;
        ensure!(status.success(), "a child ended with {status}");
    }
    let mut answers: Vec<_> = answers.lines().collect();
    answers.sort();
    println!("answers: {}", answers.join(" "));
    Ok(())
}

/// Returns the pipe of the answers. From then on only the children hold the
/// other ends.
fn start_all(children: &mut Vec<Child>) -> Result<PipeReader> {
    let (reader, writer) = queue()?;
    let (results, results_writer) = os_pipe::pipe()?;
    for _ in 0..3 {
        let ends = (reader.try_clone()?, results_writer.try_clone()?);
        children.push(start(&["consumer"], ends.0, ends.1)?);
    }
    for name in ["a", "b"] {
        let output = writer.try_clone()?;
        children.push(start(&["producer", name], Stdio::null(), output)?);
    }
    Ok(results)
}

// ANCHOR: queue
/// On Linux, if possible with sixteen times the usual room.
fn queue() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = os_pipe::pipe()?;
    #[cfg(target_os = "linux")]
    // Only a wish: an unprivileged user may be over the limit.
    let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(1024 * 1024));
    Ok((reader, writer))
}
// ANCHOR_END: queue

// ANCHOR: send
/// Sends records, as many in one write as are never mixed with others.
fn send(queue: &mut impl Write, records: &[Record]) -> Result<()> {
    for batch in records.chunks(PIPE_BUF / RECORD) {
        let bytes = batch.as_flattened();
        let written = queue.write(bytes).context("cannot send")?;
        ensure!(written == bytes.len(), "expected to write whole records");
    }
    Ok(())
}

/// Receives as many records as there are and `records` has room for. None of
/// them means that the producers are done.
fn receive<'a>(
    queue: &mut impl Read,
    records: &'a mut [Record],
) -> Result<&'a [Record]> {
    // Only faster: a consumer that falls asleep must be woken.
    thread::yield_now();
    let bytes = queue
        .read(records.as_flattened_mut())
        .context("cannot receive")?;
    ensure!(
        bytes % RECORD == 0,
        "expected whole records, not {bytes} bytes"
    );
    Ok(&records[..bytes / RECORD])
}
// ANCHOR_END: send

// ANCHOR: roles
fn producer() -> Result<()> {
    let name = env::args().nth(2).context("a producer needs a name")?;
    let mut queue = os_pipe::dup_stdout()?;
    for number in 1..=5 {
        let message = format!("{name}{number}");
        let mut record = [b' '; RECORD];
        record
            .get_mut(..message.len())
            .context("the message is longer than a record")?
            .copy_from_slice(message.as_bytes());
        send(&mut queue, &[record])?;
    }
    Ok(())
}

fn consumer() -> Result<()> {
    let mut queue = os_pipe::dup_stdin()?;
    let mut records = [[0; RECORD]; 1];
    loop {
        let [record] = receive(&mut queue, &mut records)? else {
            return Ok(());
        };
        let message = std::str::from_utf8(record)?.trim_end();
        writeln!(io::stdout(), "{}", message.to_uppercase())?;
    }
}
// ANCHOR_END: roles

fn start(
    arguments: &[&str],
    input: impl Into<Stdio>,
    output: impl Into<Stdio>,
) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(input)
        .stdout(output)
        .spawn()
        .with_context(|| format!("cannot start a {}", arguments[0]))
}
// ANCHOR_END: all
