// ANCHOR: all
//! Shares one pipe of messages of any size, by taking turns at reading it.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use os_pipe::PipeReader;
use tempfile::NamedTempFile;

// One write of at most PIPE_BUF bytes is not mixed with another. POSIX
// promises 512 for PIPE_BUF.
const MAX_FRAME: usize = 512;

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
    // ANCHOR: lock_file
    let lock = NamedTempFile::new().context("cannot make the lock file")?;
    let path = lock.path().to_str().context("the path is not UTF-8")?;
    // ANCHOR_END: lock_file
    let mut children = Vec::new();
    let mut answers = String::new();
    // If not all can be started, the others meet the end of the queue.
    let read = start_all(path, &mut children)
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
fn start_all(path: &str, children: &mut Vec<Child>) -> Result<PipeReader> {
    let (reader, writer) = os_pipe::pipe()?;
    let (results, results_writer) = os_pipe::pipe()?;
    for _ in 0..3 {
        let ends = (reader.try_clone()?, results_writer.try_clone()?);
        children.push(start(&["consumer", path], ends.0, ends.1)?);
    }
    for name in ["a", "b"] {
        let output = writer.try_clone()?;
        children.push(start(&["producer", name], Stdio::null(), output)?);
    }
    Ok(results)
}

fn producer() -> Result<()> {
    let name = env::args().nth(2).context("a producer needs a name")?;
    let mut queue = os_pipe::dup_stdout()?;
    for length in 1..=5 {
        let message = name.repeat(length);
        let mut frame = vec![u8::try_from(message.len())?];
        frame.extend(message.as_bytes());
        ensure!(frame.len() <= MAX_FRAME, "the message is too long");
        queue.write_all(&frame).context("cannot send")?;
    }
    Ok(())
}

// ANCHOR: consumer
fn consumer() -> Result<()> {
    let path = env::args().nth(2).context("a consumer needs a lock file")?;
    let lock = File::open(path).context("cannot open the lock file")?;
    let mut queue = os_pipe::dup_stdin()?;
    loop {
        lock.lock().context("cannot lock")?;
        let message = read_frame(&mut queue)?;
        lock.unlock()?;
        let Some(message) = message else {
            return Ok(());
        };
        let message = String::from_utf8(message)?;
        writeln!(io::stdout(), "{}", message.to_uppercase())?;
    }
}

fn read_frame(pipe: &mut impl Read) -> Result<Option<Vec<u8>>> {
    let mut length = [0];
    if pipe.read(&mut length)? == 0 {
        return Ok(None);
    }
    let mut message = vec![0; length[0].into()];
    pipe.read_exact(&mut message)
        .with_context(|| format!("expected {} bytes", length[0]))?;
    Ok(Some(message))
}
// ANCHOR_END: consumer

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
