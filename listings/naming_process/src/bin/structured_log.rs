// ANCHOR: all
//! Four workers write structured lines to one pipe, and no line is torn.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, PipeWriter, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};

const LINES: u32 = 200;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        None => parent(),
        Some("worker") => worker(&args.next().context("a name is missing")?),
        Some(role) => bail!("unknown role {role:?}: expected \"worker\""),
    }
}

// ANCHOR: log
/// Writes one line of `key=value` pairs by a single system call.
fn log(name: &str, seq: u32, event: &str) -> Result<()> {
    let is_word = |it: &str| !it.contains(char::is_whitespace);
    ensure!(
        is_word(name) && is_word(event),
        "a space in {name} or {event}"
    );
    let line = format!("name={name} seq={seq} event={event}\n");
    let (length, most) = (line.len(), libc::PIPE_BUF);
    ensure!(length <= most, "a line of {length} bytes, {most} at most");
    io::stderr()
        .write_all(line.as_bytes())
        .context("cannot write the log")
}
// ANCHOR_END: log

// ANCHOR: worker
fn worker(name: &str) -> Result<()> {
    io::copy(&mut io::stdin(), &mut io::sink())
        .context("cannot read standard input")?;
    for seq in 1..=LINES {
        log(name, seq, "page-loaded")?;
    }
    Ok(())
}
// ANCHOR_END: worker

// ANCHOR: parent
fn parent() -> Result<()> {
    let (reader, writer) = io::pipe()?;
    let names = ["Worker-1", "Worker-2", "Worker-3", "Worker-4"];
    let mut workers = names.map(|name| start(name, &writer));
    drop(writer);
    // All are there. Closing their standard inputs lets them go.
    for worker in workers.iter_mut().flatten() {
        drop(worker.stdin.take());
    }
    // Nothing is judged before all has been read and all are joined.
    let log: io::Result<Vec<_>> = BufReader::new(reader).split(b'\n').collect();
    let statuses = workers.map(|worker| worker.and_then(join));
    let mut last = BTreeMap::new();
    let mut strange = Vec::new();
    for line in log.context("cannot read the log")? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some((name, seq)) = parse(&line) else {
            strange.push(line);
            continue;
        };
        let before = last.insert(name.to_owned(), seq).unwrap_or(0);
        ensure!(seq == before + 1, "{name}: {seq} came after {before}");
    }
    let strange = strange.join("\n");
    ensure!(strange.is_empty(), "torn, or not of this log:\n{strange}");
    for (name, status) in names.into_iter().zip(statuses) {
        let status = status.with_context(|| name.to_owned())?;
        ensure!(status.success(), "{name}: {status}");
    }
    for (name, lines) in &last {
        println!("{name}: {lines} lines, whole and in order");
    }
    Ok(())
}
// ANCHOR_END: parent

// ANCHOR: start
fn start(name: &str, log: &PipeWriter) -> Result<Child> {
    Command::new(env::current_exe()?)
        .args(["worker", name])
        .stdin(Stdio::piped())
        .stderr(log.try_clone()?)
        .spawn()
        .context("cannot start it")
}
// ANCHOR_END: start

fn join(mut worker: Child) -> Result<ExitStatus> {
    worker.wait().context("cannot wait for it")
}

// ANCHOR: parse
fn parse(line: &str) -> Option<(&str, u32)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [name, seq, "event=page-loaded"] = fields[..] else {
        return None;
    };
    let seq = seq.strip_prefix("seq=")?.parse().ok()?;
    Some((name.strip_prefix("name=")?, seq))
}
// ANCHOR_END: parse
// ANCHOR_END: all
