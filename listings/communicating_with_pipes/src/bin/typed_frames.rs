// ANCHOR: all
//! Sends the typed tasks of typed_lines in postcard's binary format.

use std::env;
use std::io::{self, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Debug, Deserialize, Serialize)]
enum Task {
    Greet { name: String },
    Add(Vec<i64>),
}

#[derive(Debug, Deserialize, Serialize)]
enum Answer {
    Text(String),
    Number(i64),
}

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => parent(),
        Some("child") => child(),
        Some(role) => bail!("unknown role {role:?}: expected \"child\""),
    }
}

fn parent() -> Result<()> {
    let mut child = Command::new(env::current_exe()?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the child")?;

    let outcome = exchange(&mut child);
    let status = child.wait().context("cannot wait for the child")?;
    outcome.with_context(|| format!("child: {status}"))?;
    println!("child: {status}");
    Ok(())
}

fn exchange(child: &mut Child) -> Result<()> {
    let mut tasks = child.stdin.take().context("the child has no input")?;
    let output = child.stdout.take().context("the child has no output")?;
    let mut answers = BufReader::new(output);
    let name = "Ada\nLovelace".to_string();
    for task in [Task::Greet { name }, Task::Add(vec![1, -2, 43])] {
        let bytes = send(&mut tasks, &task)?;
        let answer: Answer = receive(&mut answers)?.context("no answer")?;
        writeln!(io::stdout(), "{bytes} bytes -> {answer:?}")?;
    }
    Ok(())
}

fn child() -> Result<()> {
    let mut tasks = BufReader::new(os_pipe::dup_stdin()?);
    let mut answers = os_pipe::dup_stdout()?;
    while let Some(task) = receive(&mut tasks)? {
        let answer = match task {
            Task::Greet { name } => Answer::Text(format!("Hello, {name}!")),
            Task::Add(numbers) => Answer::Number(numbers.iter().sum()),
        };
        send(&mut answers, &answer)?;
    }
    Ok(())
}

// ANCHOR: typed
fn send(pipe: &mut impl Write, message: &impl Serialize) -> Result<usize> {
    let bytes = postcard::to_stdvec(message)?;
    write_frame(pipe, &bytes)?;
    Ok(bytes.len())
}

fn receive<T: DeserializeOwned>(pipe: &mut impl Read) -> Result<Option<T>> {
    let Some(bytes) = read_frame(pipe)? else {
        return Ok(None);
    };
    let (message, rest) = postcard::take_from_bytes(&bytes)
        .with_context(|| format!("not a {}", std::any::type_name::<T>()))?;
    ensure!(rest.is_empty(), "{} bytes after the message", rest.len());
    Ok(Some(message))
}
// ANCHOR_END: typed

const MAX_FRAME: u32 = 1024 * 1024;

fn write_frame(pipe: &mut impl Write, message: &[u8]) -> Result<()> {
    let length = frame_length(message)?;
    let frame = [&length.to_be_bytes(), message].concat();
    pipe.write_all(&frame).context("cannot write a frame")
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
